"""The benchmark of whole trainings: both programs train, and its table by hand."""

import json

import numpy as np
import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks.drawn import draw_jpegs, draw_records, draw_store
from seen_jax.data.batches import Batches
from seen_jax.data.windows import Setting

torch = pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import epochs, torch_epochs  # noqa: E402

torch.set_num_threads(1)  # threads that wait for a busy processor cost more than one

SMALL = [
    "--setting",
    "E1_S0",
    "E2_S0",
    "--batch_size=4",
    "--train_clips=6",
    "--test_clips=5",
]
SHORT = ["--epochs=2", "--passes=2", "--rounds=1", "--ceiling_size=64"]


def test_drawn_clips_are_as_those_of_see():
    records = draw_records(2405, seed=0)
    lengths = records.segments[:, 1]
    assert lengths.min() >= 18 and lengths.max() <= 131
    assert abs(lengths.mean() - 53.5) < 1 and abs(lengths.std() - 15.2) < 1
    store = draw_store(3, seed=0)
    assert len(store.event_frames) == store.records.segments[:, 1].sum()


def test_the_command(monkeypatch, capsys):
    loading = torch_epochs.loading_epochs

    def in_this_process(*args):
        return loading(*args, num_workers=0)

    monkeypatch.setattr(torch_epochs, "loading_epochs", in_this_process)
    assert benchmarks.main(["epochs", *SMALL, *SHORT, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    for setting, found in zip(("E1_S0", "E2_S0"), results, strict=True):
        assert found["what"].startswith(f"{setting}, batch 4, 6 clips, float32; ")
        assert {name: len(x) for name, x in found["epoch_s"].items()} == {
            epochs.HERE: 1,
            epochs.RESIDENT: 1,
            epochs.LOADING: 1,
        }


def test_a_last_batch_of_one_window_is_refused(capsys):
    small = ["--train_clips=5", "--batch_size=4"]
    assert benchmarks.main(["epochs", *small]) == 1
    assert "got 5 clips in batches of 4; choose another" in capsys.readouterr().err


def test_tf32_is_of_one_call_alone(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    call = epochs.in_tf32(lambda: torch.backends.cudnn.allow_tf32)
    assert call() and not torch.backends.cudnn.allow_tf32


def test_a_gpu_that_is_not_there(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert benchmarks.main(["epochs", "--device=gpu"]) == 1
    assert "device: expected a GPU that PyTorch sees, got none; choose cpu, or " in (
        capsys.readouterr().err
    )


def test_both_programs_see_the_same_windows():
    """From weights of the same distribution, on labels that mean nothing."""
    batches = Batches(draw_store(6, 0), Setting(1, 0), 4, 0, "train")
    here = epochs.Training(batches, "float32").epoch()
    plain = torch_epochs.resident_epochs(batches, "cpu")()
    assert abs(here - np.log(7)) < 0.1 and abs(plain - np.log(7)) < 0.1


def test_windows_of_files():
    jpegs = draw_jpegs(3)
    windows = torch_epochs.Files(jpegs, num_windows=2, num_event_frames=2)
    assert len(windows) == 2
    assert windows[0].shape == (2, 2, 90, 90, 3)
    np.testing.assert_array_equal(
        windows[1].reshape(4, -1)[:2], windows[0].reshape(4, -1)[1:3]
    )


def test_table_by_hand():
    found = {
        "placed_s": 0.5,
        "first_epoch_s": 3.0,
        "other_epochs_s": 17.9,
        "all_s": 22.0,
        "evaluation_s": 0.8,
        "epoch_s": {"JAX": [0.1], "PyTorch, resident": [1.0, 3.0]},
        "steps_per_s": 500.0,
        "step": {"flops": 4e10, "bytes": 4e9},
        "ceilings": {"flops_per_s": 5e13, "bytes_per_s": 4e12},
    }
    *_, here, resident, products, memory = epochs.table(found, 180, 20).splitlines()
    assert here.endswith("0.100 +- 0.000 s, 1.0 x")
    assert resident.endswith("2.000 +- 0.500 s, 20.0 x")
    assert products.endswith("20.00 TFLOP/s, 40 % of 50.00 TFLOP/s measured")
    assert memory.endswith("2.00 TB/s, 50 % of 4.00 TB/s measured")
