"""Commands that cannot run say why in a line."""

import sys

import pytest

from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks import arguments


@pytest.mark.parametrize(
    "given, got",
    [
        ("--rounds=0", "--rounds: expected a whole number from 1 on, got '0'"),
        ("--rounds=x", "--rounds: expected a whole number from 1 on, got 'x'"),
        ("--seconds=nan", "--seconds: expected seconds, 0 or more, got 'nan'"),
        ("--seconds=-1", "--seconds: expected seconds, 0 or more, got '-1'"),
    ],
)
def test_numbers_that_do_not_fit(given, got, capsys):
    with pytest.raises(SystemExit):
        benchmarks.main(["data", given])
    assert got in capsys.readouterr().err


@pytest.mark.parametrize("num_clips, batch_size", [(33, 32), (5, 4), (7, 1), (1, 8)])
def test_batches_of_one_window(num_clips, batch_size):
    words = f"^batch_size: .* got {num_clips} clips in batches of {batch_size}; choose"
    with pytest.raises(ValueError, match=words):
        arguments.check_last_batch(num_clips, batch_size)
    arguments.check_last_batch(num_clips + 1, 32)


def test_a_package_that_is_not_installed(monkeypatch, capsys):
    for name in [x for x in sys.modules if x.startswith("seen_jax.benchmarks.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert benchmarks.main(["step"]) == 1
    assert capsys.readouterr().err == (
        "torch: expected to be installed, got none; python -m pip install -r "
        "requirements-export.txt\n"
    )


def test_a_run_that_is_not_there(tmp_path, capsys):
    assert benchmarks.main(["evaluation", f"--workdir={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{tmp_path}: expected the folder of a run, got none with")
