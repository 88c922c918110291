"""Every other network: trained, resumed, evaluated and reported on as SEEN is."""

import contextlib
import re

import jax
import numpy as np
import pytest
from flax import linen as nn

from configs import default
from seen_jax.evaluation import __main__ as report_command
from seen_jax.evaluation import examples, folder, observe, provenance
from seen_jax.evaluation.restored import evaluate, open_batches, restore
from seen_jax.models.networks import NETWORKS
from seen_jax.training import setup
from seen_jax.training.checkpoint import Checkpoints
from tests.helpers import ROOT, build_records
from tests.training import runs

pytestmark = pytest.mark.usefixtures("compiled_once")
# 10 clips in batches of 8: two steps an epoch.
FIELDS = {"num_event_frames": 2, "skip": 0, "batch_size": 8, "eval_passes": 1}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(build_records(tmp_path_factory.mktemp("networks"), 2, (5, 8)))


def train(data_dir, path, **fields):
    """Trains as train.py does, and returns the config."""
    config = default.get_config().to_dict() | FIELDS | {"data_dir": data_dir} | fields
    task = setup.prepare(config)
    runs.train(task, path)
    return task.config


def evaluated(path, out):
    """Evaluates as eval.py does; returns the run, and what was written."""
    run = restore(path)
    batches = open_batches(run)
    folder.prepare(out, 2)
    probabilities = evaluate(run, batches, 2)
    observed = observe.observe_clips(run.model, run.variables, batches)
    folder.write(run, "test", batches, probabilities, observed, out, "eval.py")
    return run, provenance.read(out), examples.load(out)


def reported(out, capsys):
    """The report as text, and its page without the images."""
    capsys.readouterr()
    page = out.with_suffix(".html")
    report_command.main(["report", str(out), "--html", str(page)])
    return capsys.readouterr().out, re.sub('src="data:[^"]*"', "", page.read_text())


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "seen"])
def test_rows_f_to_i(data_dir, tmp_path, capsys, name):
    config = train(data_dir, tmp_path / "run", network=name, num_epochs=1)
    run, facts, shown = evaluated(tmp_path / "run", tmp_path / "out")
    assert type(run.model) is NETWORKS[name]
    with contextlib.closing(Checkpoints(tmp_path / "run", read_only=True)) as saved:
        assert saved.restore_variables(2)[1]["config"] == config
    # What there is no neuron for is left out.
    assert "efficiency" not in facts and shown.observed is None
    assert shown.event_frames.shape[1:] == (2, 90, 90)
    num_parameters = sum(x.size for x in jax.tree.leaves(run.variables["params"]))
    text, page = reported(tmp_path / "out", capsys)
    page, _, settings = page.partition("Settings of the training")
    assert re.search(f">network</th><td[^>]*>{name}</td>", settings)
    for words in (text, page):
        assert f"network {name}: {num_parameters:,} parameters" in words
        assert not re.search("spike|LIF|J_s|[Aa]ttention|energy", words)
    assert "Confusions" in page and '<figure class="window">' in page
    for path in ("run", "whole"):  # the former resumes
        train(data_dir, tmp_path / path, network=name, num_epochs=2)
    assert runs.digests(tmp_path / "run") == runs.digests(tmp_path / "whole")


def test_one_of_ten_lines(data_dir, tmp_path, capsys, monkeypatch):
    """That of models/README.md; two steps, and two more after it was stopped."""
    text = (ROOT / "seen_jax" / "models" / "README.md").read_text()
    (code,) = re.findall("```python\n(.*?)```", text, re.S)
    networks = NETWORKS.copy()
    exec(code, {"nn": nn, "NETWORKS": networks})
    monkeypatch.setitem(NETWORKS, "pixels", networks["pixels"])
    own = {"network": "pixels", "num_features": 5, "optimizer": "adamw"}
    own |= {"clip_norm": 1.0, "label_smoothing": 0.1, "class_weights": "balanced"}
    with pytest.raises(ValueError, match="num_features: expected a value, which netw"):
        train(data_dir, tmp_path / "run", network="pixels")
    with jax.numpy_dtype_promotion("standard"):  # optax's AdamW needs it
        for num_epochs in (1, 2):  # resumes after the first
            train(data_dir, tmp_path / "run", num_epochs=num_epochs, **own)
        train(data_dir, tmp_path / "whole", num_epochs=2, **own)
    assert runs.digests(tmp_path / "run") == runs.digests(tmp_path / "whole")
    first, last = (
        restore(tmp_path / "whole", step).variables["params"] for step in (2, 4)
    )
    for before, after in zip(*map(jax.tree.leaves, (first, last)), strict=True):
        assert before.any() and not np.array_equal(before, after)
    run, facts, _ = evaluated(tmp_path / "run", tmp_path / "out")
    assert run.variables["batch_stats"] == {}
    # 90 * 90 pixels to 5 features to 7 classes.
    macs = 8100 * 5 + 5 * 7
    assert facts["size"] == {"num_parameters": macs + 5 + 7, "macs": macs}
    text, _ = reported(tmp_path / "out", capsys)
    assert f"network pixels, num_features 5: {macs + 12:,} parameters" in text
