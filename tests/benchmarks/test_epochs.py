"""The benchmark of whole trainings: both programs train, and its table by hand."""

import json

import jax
import numpy as np
import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks.clips import decode_rgb, draw_jpegs

torch = pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import epochs, programs  # noqa: E402
from seen_jax.errors import UserError  # noqa: E402

torch.set_num_threads(1)  # threads that wait for a busy processor cost more than one

RESULT = {
    "what": "E4_S3",
    "epochs": 180,
    "passes": 20,
    "placed_s": 0.5,
    "first_epoch_s": 3.0,
    "other_epochs_s": 17.9,
    "all_s": 22.0,
    "evaluation_s": 0.8,
    "epoch_s": {"JAX": [0.1, 0.1, 0.1], "PyTorch, resident": [1.0, 2.0, 3.0]},
    "noisy": {"PyTorch, resident": "spread by the clock"},
    "steps_per_s": 500.0,
    "step": {"flops": 4e10, "bytes": 4e9},
    "ceilings": {"flops_per_s": 5e13, "bytes_per_s": 4e12},
}


def test_the_command(monkeypatch, capsys):
    def loader(windows, batch_size, collate_fn, **workers):  # in this process
        return torch.utils.data.DataLoader(windows, batch_size, collate_fn=collate_fn)

    monkeypatch.setattr(programs, "DataLoader", loader)
    options = "--setting E1_S0 --batch_size=4 --train_clips=6 --test_clips=5 --epochs=2"
    options += " --passes=2 --rounds=1 --ceiling_size=64 --json"
    assert benchmarks.main(["epochs", *options.split()]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["what"].startswith("E1_S0, batch 4, 6 clips, float32; ")
    assert {name: len(x) for name, x in result["epoch_s"].items()} == {
        epochs.HERE: 1,
        epochs.RESIDENT: 1,
        epochs.LOADING: 1,
    }


def test_several_settings_are_shown_one_by_one(monkeypatch, capsys):
    def measure(args, setting):
        return RESULT | {"what": str(setting)}

    monkeypatch.setattr(epochs, "measure_setting", measure)
    assert benchmarks.main(["epochs", "--setting", "E1_S0", "E2_S0"]) == 0
    for text in capsys.readouterr():
        assert [x for x in text.splitlines() if x.startswith("E")] == ["E1_S0", "E2_S0"]


@pytest.mark.parametrize("num_clips, batch_size", [(33, 32), (7, 1), (1, 8)])
def test_a_last_batch_of_one_window_is_refused(num_clips, batch_size):
    words = f"^batch_size: .* got {num_clips} clips in batches of {batch_size}; choose"
    with pytest.raises(UserError, match=words):
        programs.check_last_batch(num_clips, batch_size)
    programs.check_last_batch(num_clips + 1, 32)


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    platforms = jax.config.jax_platforms
    try:
        with pytest.raises(UserError, match="a GPU that PyTorch sees, got none"):
            benchmarks.main(["epochs", "--device=gpu"])
    finally:
        jax.config.update("jax_platforms", platforms)


def test_windows_of_files():
    files = draw_jpegs(7)
    windows = programs.load_windows(files, 2, [0, 5])
    assert windows.shape == (2, 2, 2, 90, 90, 3)
    # Files 0 to 3 and 5 to 8, two of each kind.
    expected = decode_rgb([files[i] for i in (0, 1, 5, 6, 2, 3, 0, 1)])
    np.testing.assert_array_equal(windows.numpy().reshape(expected.shape), expected)


def test_text_by_hand():
    *_, one, resident, products, memory, warning = epochs.to_text([RESULT]).splitlines()
    assert one.endswith("0.100 +- 0.000 (0.100) s, 1.0 x")
    assert resident.endswith("2.000 +- 0.500 (1.000) s, 20.0* x")
    assert " for PyTorch, resident (spread by the clock). " in warning
    assert products.endswith("20.00 TFLOP/s, 40 % of 50.00 TFLOP/s measured")
    assert memory.endswith("2.00 TB/s, 50 % of 4.00 TB/s measured")
