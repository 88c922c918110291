"""A run -> a bundle -> a run; needs torch, onnx and onnxruntime."""

import dataclasses
import os
from functools import partial

import jax
import numpy as np
import pytest

from configs import default
from seen_jax.errors import UserError
from seen_jax.evaluation.restored import evaluate, open_batches, restore
from seen_jax.export import bundle, compare, published, torch_files
from seen_jax.images import normalise_events, normalise_intensity
from seen_jax.models.baselines import CNN
from seen_jax.models.lif import LIF
from seen_jax.models.seen import SEEN
from seen_jax.runtime import seen_runtime
from seen_jax.training import setup
from tests.export.command import export
from tests.helpers import ROTATED, in_float64, write_run
from tests.models.variables import whole, windows
from tests.training import runs

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.fixture(scope="module")
def written(folder):
    out = folder.parent / "bundle"
    code, said = export("torch", "--workdir", folder, "--out", out)
    assert not code, said
    assert "onnxruntime: 4 windows" in said and said.endswith(f"{out}\n")
    return out


@pytest.fixture(scope="module")
def evaluated(folder):
    """Windows of the run's first pass, and their probabilities by the evaluation."""
    restored = restore(folder)
    batches = open_batches(restored)
    frames = batches.first_windows(np.arange(len(batches.clips)))
    return frames, evaluate(restored, batches, 1)[0]


def test_no_neuron_hangs_on_rounding(folder, evaluated):
    """Float32 rounds sums of up to 200 by some 1e-5."""
    event_frames, intensity_frames = evaluated[0]
    with jax.enable_x64(True):
        run = jax.jit(partial(SEEN().apply, capture=True))
        variables = in_float64(restore(folder).variables)
        events = normalise_events(event_frames, np.float64)
        others = normalise_intensity(intensity_frames, np.float64)
        inputs = {"event_frames": events, "intensity_frames": others}
        logits, captured = jax.device_get(run(variables, **inputs))
    for layer in (captured.spatial, *captured.temporal):
        assert abs(layer.membrane).max() < 200
        assert abs(layer.membrane - SEEN.neuron.threshold).min() > 1e-3
    ranked = np.sort(logits)
    assert (ranked[:, -1] - ranked[:, -2]).min() > 1e-3, "two classes are equal"
    assert len({*logits.argmax(axis=1).tolist()}) > 1, "the windows look alike"


def write(restored, out, **options):
    return bundle.write_bundle(restored, open_batches(restored), out, **options)


def other(folder, **options):
    """The run with a network of other options, and the same weights."""
    restored = restore(folder)
    return dataclasses.replace(restored, model=restored.model.clone(**options))


def config_of(folder, **fields):
    data_dir = str(folder.parent / "data")
    return default.get_config().to_dict() | {"data_dir": data_dir, **fields}


def test_the_manifest(folder, written):
    manifest = seen_runtime.read_manifest(written)
    assert (manifest["setting"], manifest["classes"]) == ("E2_S1", [*ROTATED])
    facts = {"source": "real", "choice": "the last epoch", "revision": "abc"}
    assert manifest["trained"].items() >= facts.items()
    assert sorted(manifest["files"]) == sorted(seen_runtime.FILES)
    assert sorted(os.listdir(written)) == sorted([*seen_runtime.FILES, "manifest.json"])
    for program in compare.PROGRAMS:
        figures = manifest["parity"][program]
        assert figures["num_windows"] == 4
        assert figures["share_equal"] == 1
        assert figures["largest_relative"] < 1e-5


def test_the_bundle_predicts_and_names_what_the_evaluation_does(written, evaluated):
    frames, expected = evaluated
    for program in compare.PROGRAMS:
        runtime = seen_runtime.load(written, program)
        probabilities = runtime.predict(*frames)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-7)
        named = [*map(runtime.name, probabilities)]
        assert named == [ROTATED[i] for i in expected.argmax(axis=1)]


def test_a_bundle_that_names_other_classes_is_not_written(folder, tmp_path):
    restored = restore(folder)
    labels = [*restored.facts["labels"]]
    facts = restored.facts | {"labels": labels[1:] + labels[:1]}
    wrong = dataclasses.replace(restored, facts=facts)
    with pytest.raises(UserError, match=r"torch .*: expected the classes of the re"):
        bundle.write_bundle(wrong, open_batches(restored), tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_an_imported_run_is_evaluated_and_says_what_it_is(
    folder, written, evaluated, tmp_path
):
    data_dir = folder.parent / "data"
    back = tmp_path / "back"
    flags = [f"--checkpoint={written / 'seen.pt'}", f"--workdir={back}"]
    fields = [f"--config.data_dir={data_dir}", "--config.num_event_frames=2"]
    code, said = export("import", *flags, *fields, "--config.skip=1")
    assert code == 0 and "epoch 1 ->" in said, said
    restored = restore(back)
    words = "the last epoch: imported from seen.pt (epoch 1), trained and chosen"
    assert restored.facts["choice"].startswith(words)
    _, expected = evaluated
    again = evaluate(restored, open_batches(restored), 1)[0]
    np.testing.assert_array_equal(again, expected)


def test_an_imported_run_is_trained_on(folder, written, tmp_path, capsys):
    back = tmp_path / "back"
    fields = dict(num_event_frames=2, num_epochs=1, batch_size=3, eval_passes=1)
    config = config_of(folder, freeze="conv*", **fields)
    published.import_checkpoint(written / "seen.pt", back, config)
    runs.train(setup.prepare(config), back)
    assert "weights imported from seen.pt, epoch 1" in capsys.readouterr().out
    facts = restore(back).facts
    assert facts["step"] == 4
    assert "; fine-tuned from seen.pt (epoch 1)" in facts["choice"]


def test_what_is_not_exported(folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    code, said = export("torch", "--workdir", folder, "--out", tmp_path)
    assert code == 1
    assert said == (
        f"{tmp_path}: expected a new folder, an empty one or a bundle to replace, got "
        "one with notes.txt in it; give another folder\n"
    )
    (tmp_path / "manifest.json").write_text('{"name": "of another program"}')
    assert export("torch", "--workdir", folder, "--out", tmp_path)[0] == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"
    for options, words in (
        ({"neuron": LIF(decay=1.5)}, "decay: expected the share .*, got 1.5; only"),
        ({"neuron": LIF(threshold=-1.0)}, "threshold: expected .*, got -1.0; only"),
    ):
        with pytest.raises(ValueError, match=words):
            write(other(folder, **options), tmp_path / "new")
    cnn = dataclasses.replace(restore(folder), model=CNN())
    words = "network: expected seen or a variant of it, .*, got CNN; export a run of"
    with pytest.raises(UserError, match=words):
        write(cnn, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("own", [["kernels"], ["attention"]], ids=str)
def test_what_branch_t_has_of_its_own(tmp_path, own):
    """Every program has it; so has `seen.pt`, from which the run can be made again.

    Both at once are in tests/runtime/test_spikes.py.
    """
    options = dict.fromkeys(own, "own")
    variables = jax.device_get(whole(SEEN(**options), windows(90, 1)))
    fields = dict(num_event_frames=2, skip=1, batch_size=3, num_epochs=1, **options)
    run = write_run(tmp_path, {4: 0.5}, {4: variables}, levels=(64, 192), **fields)
    restored, out = restore(run), tmp_path / "bundle"
    manifest = write(restored, out)
    assert manifest["parity"].keys() >= {*compare.PROGRAMS}
    for figures in manifest["parity"].values():
        assert figures["share_equal"] == 1 and not figures["by_rounding"]
    assert manifest["trained"]["network"].count("own") == len(own)
    _, inputs = compare.windows(open_batches(restored), 1)
    for program in ("torch", "native"):
        assert compare.same_in_float64(restored, program, *inputs).tolist() == [True]
    config = default.get_config().to_dict() | restored.config
    published.import_checkpoint(out / "seen.pt", tmp_path / "back", config)
    again = restore(tmp_path / "back").variables
    jax.tree.map(np.testing.assert_array_equal, again, restored.variables)


def test_another_readout_and_neuron(folder, tmp_path):
    """The comparison with JAX, which `write` makes, shows that every program has it."""
    neuron = {"decay": 0.5, "threshold": 0.7}  # with halves of thirds: never met
    restored = other(folder, readout="last_spike", neuron=LIF(**neuron))
    manifest = write(restored, tmp_path / "new")
    assert manifest["parity"].keys() >= {*compare.PROGRAMS}
    read = seen_runtime.read_manifest(tmp_path / "new")
    assert seen_runtime.constants(read) == {"readout": "last_spike", **neuron}
    published = write(restore(folder), tmp_path / "published", formats=["torch"])
    seen_pt = "seen.pt"  # weights alone
    assert read["files"][seen_pt] == published["files"][seen_pt]


def test_a_disk_without_room_and_a_backend_that_fails(folder, tmp_path, monkeypatch):
    def full(path, *args, **options):
        raise OSError(28, "No space left on device")

    def fails(*args):
        raise seen_runtime.BackendError("backend torch: expected to start, got none")

    for place, name, happens, words in (
        (torch_files, "write_onnx", full, f"{tmp_path / 'new'}: expected a place that"),
        (seen_runtime, "load", fails, "backend torch: expected to start, got none\n"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, happens)
            out = tmp_path / "new"
            code, said = export("torch", "--workdir", folder, "--out", out)
        assert code == 1 and said.startswith(words) and said.count("\n") == 1, said
        assert not list(tmp_path.iterdir())


@pytest.fixture
def wrong_by(monkeypatch):
    """Returns what makes every fold wrong by so much."""

    def make(error, fold=seen_runtime.fold):
        def wrong(state_dict, *args):
            folded = fold(state_dict, *args)
            folded["fc2_bias"][0] += error
            return folded

        monkeypatch.setattr(seen_runtime, "fold", wrong)

    return make


def test_a_bundle_that_does_not_agree_is_not_written(folder, tmp_path, wrong_by):
    wrong_by(0.1)
    with pytest.raises(ValueError, match="torch: expected JAX's logits") as e:
        write(restore(folder), tmp_path / "new")
    assert str(e.value).count("of its largest logit") == 4  # each window is named
    assert not list(tmp_path.iterdir())


PROGRAMS = pytest.mark.parametrize("program", ["torch", "native"])


@PROGRAMS
@pytest.mark.parametrize("readout", seen_runtime.READOUTS)
def test_the_same_network_in_float64(folder, program, readout):
    neuron = LIF() if readout == "mean_membrane" else LIF(decay=0.5, threshold=0.7)
    restored = other(folder, readout=readout, neuron=neuron)
    _, inputs = compare.windows(open_batches(restored), 2)
    same = compare.same_in_float64(restored, program, *inputs)
    assert same.tolist() == [True, True]


@PROGRAMS
def test_another_network_is_not_excused_by_rounding(folder, wrong_by, program):
    wrong_by(1e-6)
    restored = restore(folder)
    _, inputs = compare.windows(open_batches(restored), 2)
    same = compare.same_in_float64(restored, program, *inputs)
    assert same.tolist() == [False, False]


def test_a_bundle_is_replaced_whole(folder, written):
    before = seen_runtime.read_manifest(written)
    (written / "seen-0123abcd.engine").write_text("of the old one")
    write(restore(folder), written)
    assert seen_runtime.read_manifest(written)["files"].keys() == before["files"].keys()
    assert not (written / "seen-0123abcd.engine").exists()


def test_an_import_that_does_not_fit(folder, written, tmp_path):
    for fields, words in (
        ({"intensity": "all"}, "expected the weights of the config"),
        ({"kernels": "own"}, "expected the weights of the config"),
        ({"select": "test"}, "select: expected 'last'"),
    ):
        config, back = config_of(folder, **fields), tmp_path / "back"
        with pytest.raises(ValueError, match=words):
            published.import_checkpoint(written / "seen.pt", back, config)
        assert not back.exists()


def test_an_import_into_a_folder_with_something_in_it(folder, written):
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        published.import_checkpoint(written / "seen.pt", folder, config_of(folder))
