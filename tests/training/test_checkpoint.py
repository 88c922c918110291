"""Checkpoints: what is kept, what comes back, which one counts."""

import jax
import numpy as np
import pytest

from seen_jax.training.checkpoint import Checkpoints, git_revision
from seen_jax.training.state import TrainState


def make_state(step):
    """A state of which every number tells the step."""
    return TrainState(
        step=np.int32(step),
        params={"fc": {"kernel": np.full((2, 3), step, np.float32)}},
        batch_stats={"norm": {"num_batches": np.int32(step)}},
        opt_state=((), {"trace": np.full(3, -step, np.float32)}),
    )


@pytest.fixture
def workdir(tmp_path):
    return tmp_path


def save_all(workdir, select, wars):
    checkpoints = Checkpoints(workdir, select)
    for step, war in enumerate(wars, 1):
        metrics = None if war is None else {"war": war}
        checkpoints.save(make_state(step), {"of": step}, metrics)
    checkpoints.wait()
    return checkpoints


def test_what_was_saved_comes_back_bit_by_bit(workdir):
    checkpoints = save_all(workdir, "last", [None, 0.5])
    state, run = checkpoints.restore(2, make_state(0))
    jax.tree.map(np.testing.assert_array_equal, state, make_state(2))
    assert jax.tree.map(lambda x: x.dtype, state) == jax.tree.map(
        lambda x: x.dtype, make_state(2)
    )
    assert run == {"of": 2}
    variables, run = checkpoints.restore_variables(2)
    jax.tree.map(np.testing.assert_array_equal, variables, make_state(2).variables)
    assert run == {"of": 2}
    assert checkpoints.metrics(2) == {"war": 0.5}
    checkpoints.close()


@pytest.mark.parametrize(
    "select, wars, kept, chosen",
    [
        ("last", [0.9, 0.1, None], [3], 3),
        ("validation", [0.2, 0.9, None, 0.1, None], [2, 5], 2),
        ("test", [0.9, None, None], [1, 3], 1),
        ("test", [0.9, 0.9, 0.3], [2, 3], 2),  # of equals the later
        ("test", [None, None], [2], None),
    ],
)
def test_the_latest_and_the_best_are_kept(workdir, select, wars, kept, chosen):
    save_all(workdir, select, wars).close()
    again = Checkpoints(workdir, select, read_only=True)  # as another process sees it
    assert (again.steps(), again.chosen()) == (kept, chosen)
    assert again.latest() == len(wars)
    again.close()


def test_the_best_outlives_a_restart(workdir):
    save_all(workdir, "test", [0.9, 0.1]).close()
    checkpoints = Checkpoints(workdir, "test")
    for step in (3, 4):
        checkpoints.save(make_state(step), {}, {"war": 0.2})
    checkpoints.wait()
    assert checkpoints.steps() == [1, 4]
    checkpoints.close()


def test_a_save_in_the_background_is_of_the_moment_it_was_asked_for(workdir):
    checkpoints = Checkpoints(workdir, "last")
    checkpoints.save(make_state(1), {})
    checkpoints.save(make_state(1), {"a second": "time"})  # is the same step: no error
    checkpoints.wait()
    assert checkpoints.restore(1, make_state(0))[1] == {}
    checkpoints.close()


@pytest.mark.parametrize("war, kept", [(0.9, [2]), (0.1, [1, 2])])
def test_metrics_come_later_and_decide_what_is_kept(workdir, war, kept):
    save_all(workdir, "test", [0.2, None]).close()
    checkpoints = Checkpoints(workdir, "test")
    assert checkpoints.chosen() == 1
    for later in (war, 0.5):  # those that are there stay
        checkpoints.save(make_state(2), {"a second": "time"}, {"war": later})
    assert (checkpoints.steps(), checkpoints.chosen()) == (kept, kept[0])
    checkpoints.close()
    again = Checkpoints(workdir, "test")
    assert again.metrics(2) == {"war": war}
    assert again.restore(2, make_state(0))[1] == {"of": 2}
    again.save(make_state(3), {})  # Orbax goes by them too
    again.wait()
    assert again.steps() == [kept[0], 3]
    again.close()


def test_a_save_that_was_cut_off_is_no_checkpoint(workdir):
    save_all(workdir, "last", [None]).close()
    (workdir / "checkpoints" / "2.orbax-checkpoint-tmp").mkdir()
    for read_only in (True, False):
        checkpoints = Checkpoints(workdir, "last", read_only=read_only)
        assert checkpoints.steps() == [1]
        checkpoints.close()


def test_a_place_that_cannot_be_written_is_named(workdir):
    (workdir / "checkpoints").write_text("in the way")
    with pytest.raises(
        OSError, match=r"checkpoints: expected a folder .* got .*exists"
    ):
        Checkpoints(workdir, "last")


def test_the_revision_is_a_commit():
    revision = git_revision().removesuffix("-dirty")
    assert revision == "unknown" or len(revision) == 40
