"""Checkpoints: what is kept, what comes back, what is damaged."""

import json
import shutil

import jax
import numpy as np
import pytest

from seen_jax.errors import UserError
from seen_jax.training.checkpoint import Checkpoints
from seen_jax.training.state import TrainState

RUN = {"config": {}, "labels": ["a", "b"], "git": "abc", "records": {}, "epoch": 1}
RUN |= {"epoch_so_far": {}}


def make_state(step):
    """A state of which every number tells the step."""
    return TrainState(
        step=np.int32(step),
        params={"fc": {"kernel": np.full((2, 3), step, np.float32)}},
        batch_stats={"norm": {"num_batches": np.int32(step)}},
        opt_state=((), {"trace": np.full(3, -step, np.float32)}),
    )


def save_all(workdir, num_steps, best=None):
    checkpoints = Checkpoints(workdir)
    for step in range(1, num_steps + 1):
        checkpoints.save(make_state(step), RUN | {"epoch": step}, best)
    checkpoints.wait()
    return checkpoints


def test_what_was_saved_comes_back_bit_by_bit(tmp_path):
    checkpoints = save_all(tmp_path, 2)
    state, run = checkpoints.restore(2, make_state(0))
    jax.tree.map(np.testing.assert_array_equal, state, make_state(2))
    types = jax.tree.map(lambda x: x.dtype, state)
    assert types == jax.tree.map(lambda x: x.dtype, make_state(2))
    assert run == RUN | {"epoch": 2}
    variables, run = checkpoints.restore_variables(2)
    jax.tree.map(np.testing.assert_array_equal, variables, make_state(2).variables)
    assert run == RUN | {"epoch": 2}
    checkpoints.close()


@pytest.mark.parametrize(
    "best, kept", [(None, [4, 5]), (2, [2, 4, 5]), (5, [4, 5]), (9, [4, 5])]
)
def test_the_latest_two_and_the_best_are_kept(tmp_path, best, kept):
    checkpoints = save_all(tmp_path, 5, best)
    checkpoints.prune(best)
    checkpoints.close()
    again = Checkpoints(tmp_path, read_only=True)  # as another process sees it
    assert again.steps() == kept and again.latest() == 5
    again.close()


def test_the_best_is_kept_after_a_restart(tmp_path):
    save_all(tmp_path, 3, best=1).close()
    checkpoints = Checkpoints(tmp_path)
    for step in (4, 5):
        checkpoints.save(make_state(step), RUN, best=1)
    checkpoints.prune(1)
    assert checkpoints.steps() == [1, 4, 5]
    checkpoints.prune()
    assert checkpoints.steps() == [4, 5]
    checkpoints.close()


def test_a_step_is_saved_once(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make_state(1), RUN)
    checkpoints.save(make_state(1), RUN | {"git": "a second time"})
    checkpoints.wait()
    assert checkpoints.restore(1, make_state(0))[1] == RUN
    checkpoints.close()


def test_a_save_that_was_cut_off_is_no_checkpoint(tmp_path):
    save_all(tmp_path, 1).close()
    (tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp").mkdir()
    for read_only in (True, False):
        checkpoints = Checkpoints(tmp_path, read_only=read_only)
        assert checkpoints.steps() == [1]
        checkpoints.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    words = r"checkpoints: expected a folder .* got .*exists"
    with pytest.raises(UserError, match=words):
        Checkpoints(tmp_path)


def files_of(folder):
    return sorted(x for x in folder.rglob("*") if x.is_file())


def cut(folder):
    for path in files_of(folder):
        if path.stat().st_size > 100:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def facts(change):
    def spoil(folder):
        path = folder / "run" / "metadata"
        path.write_text(change(path.read_text()))

    return spoil


def with_epoch(epoch):
    return lambda text: json.dumps(json.loads(text) | {"epoch": epoch})


def of_another_step(folder):
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("1"), folder)


DAMAGE = {
    "that of another step": of_another_step,
    "cut": cut,
    "empty": empty,
    "without variables": lambda folder: shutil.rmtree(folder / "variables"),
    "facts that are no JSON": facts(lambda text: text[:20]),
    "facts nested deep": facts(lambda text: 5000 * "[" + 5000 * "]"),
    "an epoch of text": facts(with_epoch("three")),
    "another epoch": facts(with_epoch(7)),
}


@pytest.mark.parametrize("spoil", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_one_line_that_names_a_whole_one(
    tmp_path, capfd, spoil
):
    save_all(tmp_path, 2).close()
    folder = tmp_path / "checkpoints" / "2"
    spoil(folder)
    checkpoints = Checkpoints(tmp_path)
    restores = (
        lambda step: checkpoints.restore(step, make_state(0)),
        checkpoints.restore_variables,
    )
    for restore in restores:
        with pytest.raises(UserError) as error:
            restore(2)
        text = str(error.value)
        assert text.startswith(f"{folder}: expected an intact checkpoint, got ")
        assert "step 1 before it is intact" in text and f"rm -r {folder}" in text
        assert text.count("\n") == 0
        assert restore(1)[1]["epoch"] == 1
    checkpoints.close()
    assert "Traceback" not in capfd.readouterr().err  # of the library's threads


def test_one_changed_bit_is_noticed(tmp_path, monkeypatch):
    """What a restore gives back is compared, whatever happened on the disk."""
    checkpoints = save_all(tmp_path, 1)
    restore = checkpoints._manager.restore

    def flipped(*args, **options):
        read = restore(*args, **options)
        kernel = np.array(read["variables"]["params"]["fc"]["kernel"])
        kernel.view(np.uint32)[1, 2] ^= 1 << 3
        read["variables"]["params"]["fc"]["kernel"] = kernel
        return read

    monkeypatch.setattr(checkpoints._manager, "restore", flipped)
    words = "got other values as variables/params/fc/kernel than were saved; copy it ag"
    with pytest.raises(UserError, match=words):
        checkpoints.restore(1, make_state(0))
    checkpoints.close()
