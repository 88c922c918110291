"""The comparison of trainings: in float64 the programs stay together; text by hand.

In float32 they part wherever a membrane is within rounding of the threshold, which
depends on the processor, so nothing here compares float32 trajectories.
"""

import json

import jax
import numpy as np
import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks.clips import draw_batches
from seen_jax.data.batches import Batches
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError
from seen_jax.export.convert import torch_from_variables
from seen_jax.protocol import evaluate
from seen_jax.training import step
from seen_jax.training.feed import place
from tests import golden
from tests.helpers import memory_records

torch = pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import torch_training  # noqa: E402
from seen_jax.benchmarks.programs import Here, Plain  # noqa: E402

torch.set_num_threads(1)  # threads that wait for a busy processor cost more than one


def test_twenty_steps_in_float64():
    """Batches of 3 and 2 windows of five clips, and a row that fills up.

    The frames are on the device in both.
    """
    batches, weights = draw_batches(5, Setting(2, 3), 3), golden.state_dict()
    shown = Batches(batches.images, batches.clips, batches.setting, 3, 0, "eval")

    def train(training):
        losses = [training.epoch() for _ in range(10)]
        return losses, evaluate(training.make_predict(shown)(1), 5, 1)

    plain = Plain(weights, batches)
    losses, answers = train(plain)
    with jax.enable_x64(True):
        frames = place(batches.images, jax.local_devices()[:1])
        here = Here(weights, batches, frames=frames)
        losses_here, answers_here = train(here)
        after = torch_from_variables(step.first(here.state).variables)
    np.testing.assert_allclose(losses_here, losses, rtol=1e-9)
    np.testing.assert_allclose(answers_here, answers, atol=1e-9)
    for name, x in plain.network.state_dict().items():
        np.testing.assert_allclose(after[name], x, atol=1e-11, err_msg=name)
    assert np.abs(after["fc1.weight"] - weights["fc1.weight"]).max() > 1e-3


@pytest.mark.parametrize(
    "here, plain, means, verdict",
    [
        # Standard deviations of (50, 54) and (52, 56): sqrt(4 + 4) = 2.8.
        ((50, 54), (52, 56), ("52.0 +- 2.8", "54.0 +- 2.8"), "-2.0 points, within"),
        ((58, 62), (52, 56), ("60.0 +- 2.8", "54.0 +- 2.8"), "+6.0 points, beyond"),
        # Pooled: sqrt((8 + 0) / 2) = 2.
        ((50, 54), (54, 54), ("52.0 +- 2.8", "54.0 +- 0.0"), "seeds, 2.0"),
        ((50,), (52,), ("50.0", "52.0"), "points, one seed has no spread"),
    ],
)
def test_text_by_hand(here, plain, means, verdict):
    seeds = [
        {
            "JAX": {"losses": [1.9, 1.5], "war": x / 100},
            "PyTorch": {"losses": [1.9, 1.6], "war": y / 100},
        }
        for x, y in zip(here, plain, strict=True)
    ]
    text = torch_training.to_text({"what": "E4_S3", "seeds": seeds}).splitlines()
    _, first, *_, mean, last = text
    wars = (
        f"JAX loss 1.5000, WAR {here[0]}.0 %; PyTorch loss 1.6000, WAR {plain[0]}.0 %"
    )
    assert first == f"seed 0: {wars}"
    assert mean == "mean WAR: JAX {} %; PyTorch {} %".format(*means)
    assert verdict in last


def test_the_command(tmp_path, monkeypatch, capsys):
    records = memory_records(tmp_path, [9, 12, 7, 20, 15])
    monkeypatch.setattr(torch_training, "open_records", lambda *args: records)
    command = ["torch_training", "--data_dir=here", "--setting=E1_S0", "--json"]
    small = ["--seeds=1", "--epochs=1", "--passes=1", "--batch_size=3"]
    assert benchmarks.main([*command, *small]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["what"].startswith("E1_S0, 5 simulated clips, tested on 5, 1 epoch,")
    (outcomes,) = result["seeds"]
    assert [*outcomes] == ["JAX", "PyTorch"]
    for outcome in outcomes.values():
        assert len(outcome["losses"]) == 1
        assert outcome["war"] in [n / 5 for n in range(6)]  # of five clips
    with pytest.raises(UserError, match="got 5 clips in batches of 4; choose another"):
        benchmarks.main([*command, "--batch_size=4"])
