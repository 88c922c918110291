"""The comparison of trainings: in float64 the programs stay together; text by hand.

In float32 they part wherever a membrane is within rounding of the threshold, which
depends on the processor, so nothing here compares float32 trajectories.
"""

import json
from functools import partial

import jax
import numpy as np
import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks.clips import draw_batches
from seen_jax.data.batches import Batches
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError
from seen_jax.protocol import evaluate
from seen_jax.training.feed import place
from tests import golden
from tests.helpers import memory_records

torch = pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import here, torch_epochs, torch_training  # noqa: E402

torch.set_num_threads(1)  # threads that wait for a busy processor cost more than one

BY_SEED = [
    {
        "JAX": {"losses": [1.9, 1.5], "war": 0.50},
        "PyTorch": {"losses": [1.9, 1.6], "war": 0.52},
    },
    {
        "JAX": {"losses": [1.8, 1.4], "war": 0.54},
        "PyTorch": {"losses": [1.9, 1.3], "war": 0.56},
    },
]


def test_twenty_steps_in_float64():
    """Batches of 3 and 2 windows of five clips, and a row that fills up.

    The frames are on the device in both.
    """
    batches, weights = draw_batches(5, Setting(2, 3), 3), golden.state_dict()
    shown = Batches(batches.images, batches.clips, batches.setting, 3, 0, "eval")

    def train(make_training):
        training = make_training(weights, batches)
        losses = [training.epoch() for _ in range(10)]
        answers = evaluate(training.answers(shown, 1), 5, 1)
        return losses, answers, training.weights()

    losses, answers, after = train(torch_epochs.Training)
    with jax.enable_x64(True):
        frames = place(batches.images, jax.local_devices()[:1])
        losses_here, answers_here, after_here = train(
            partial(here.Training, frames=frames)
        )
    np.testing.assert_allclose(losses_here, losses, rtol=1e-9)
    np.testing.assert_allclose(answers_here, answers, atol=1e-9)
    for name, value in after.items():
        np.testing.assert_allclose(after_here[name], value, atol=1e-11, err_msg=name)
    assert np.abs(after["fc1.weight"] - weights["fc1.weight"]).max() > 1e-3


def text(seeds):
    return torch_training.to_text({"what": "E4_S3", "seeds": seeds}).splitlines()


def test_text_by_hand():
    # Means 52 and 54; standard deviations of (50, 54) and (52, 56): sqrt(4 + 4) = 2.8.
    *_, first, second, mean, verdict = text(BY_SEED)
    assert first.split() == ["0", "1.5000", "1.6000", "50.0", "52.0"]
    assert second.split() == ["1", "1.4000", "1.3000", "54.0", "56.0"]
    assert mean.split() == ["mean", "52.0", "+-", "2.8", "54.0", "+-", "2.8"]
    assert verdict.startswith("JAX - PyTorch: -2.0 points, within the pooled standard")
    assert verdict.endswith(", 2.8")


@pytest.mark.parametrize(
    "name, wars, verdict",
    [
        ("JAX", (0.58, 0.62), "+6.0 points, beyond"),  # spread as before
        # Standard deviations of (50, 54) and (54, 54): sqrt((8 + 0) / 2) = 2.
        ("PyTorch", (0.54, 0.54), "seeds, 2.0"),
    ],
)
def test_verdict_by_hand(name, wars, verdict):
    pairs = zip(BY_SEED, wars, strict=True)
    assert verdict in text([x | {name: x[name] | {"war": w}} for x, w in pairs])[-1]


def test_one_seed_has_no_spread():
    assert text(BY_SEED[:1])[-1].endswith("points, one seed has no spread")


@pytest.fixture
def data(tmp_path, monkeypatch):
    records = memory_records(tmp_path, [9, 12, 7, 20, 15])
    monkeypatch.setattr(torch_training, "open_records", lambda *args: records)


def test_the_command(data, capsys):
    small = ["--seeds=1", "--epochs=1", "--passes=1", "--batch_size=3"]
    small += ["--setting=E1_S0"]
    command = ["torch_training", "--data_dir=here", *small]
    assert benchmarks.main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["what"].startswith("E1_S0, 5 simulated clips, tested on 5, 1 epochs")
    (outcomes,) = result["seeds"]
    assert [*outcomes] == ["JAX", "PyTorch"]
    for outcome in outcomes.values():
        assert len(outcome["losses"]) == 1
        assert outcome["war"] in [n / 5 for n in range(6)]  # of five clips


def test_a_last_batch_of_one_window_is_refused(data):
    with pytest.raises(UserError, match="got 5 clips in batches of 4; choose another"):
        benchmarks.main(["torch_training", "--data_dir=here", "--batch_size=4"])
