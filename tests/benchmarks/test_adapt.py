"""The curve of adapting: the weights of `seen adapt`, the same test clips for all."""

import json

import jax
import numpy as np
import pytest

from seen_jax import see
from seen_jax.adapt import command, recipe
from seen_jax.benchmarks import __main__ as benchmarks
from seen_jax.benchmarks import adapt
from seen_jax.errors import UserError
from seen_jax.evaluation.restored import open_batches, restore
from tests import samples
from tests.helpers import write_run

FIELDS = {"num_event_frames": 1, "skip": 0, "batch_size": 4, "eval_passes": 1}


@pytest.fixture(scope="module", autouse=True)
def small(compiled_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "NUM_WINDOWS", 8)
        patch.setattr(adapt, "BATCH_SIZE", 8)
        patch.setitem(recipe.RECIPE, "batch_size", 4)
        patch.setitem(recipe.RECIPE, "num_epochs", 1)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A run, and two people with two clips of each label, a third with one."""
    root = tmp_path_factory.mktemp("adapt")
    write_run(root, {3: 0.5}, num_epochs=1, **FIELDS)
    once = samples.clip_names(3, (5,))
    twice = [see.ClipName(**{**vars(x), "take": 1}) for x in once if x.volunteer < 3]
    samples.write_see_folder(root / "wearers", once + twice, size=90)
    return root


def test_the_weights_are_those_of_the_command(root):
    words = [f"--run={root / 'run'}", f"--clips={root / 'wearers'}", "--volunteer=1"]
    assert command.fit(command.parse([*words, f"--out={root / 'out'}"])) == 0
    run = restore(root / "run")
    train, test = (open_batches(run, split) for split in ("train", "test"))
    others = recipe.draw_others(train)
    store = adapt.read_wearers(root / "wearers", train.clips)
    rows = adapt.rows_of_people(store.clips)["1"]
    mine = adapt.gather(store, store.clips.take(rows))
    variables = adapt.make_adapt(run, others, test)(mine)
    expected = restore(root / "out").variables
    for x, y in zip(*map(jax.tree.leaves, (variables, expected)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_curve(root, capsys, tmp_path):
    words = ["adapt", f"--run={root / 'run'}", f"--wearers={root / 'wearers'}"]
    plot = tmp_path / "plot.png"
    options = ["--most=1", "--draws=1", "--passes=2", "--json", f"--plot={plot}"]
    assert benchmarks.main([*words, *options]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["people"], result["num_left_out"]) == (["1", "2"], 1)
    assert [point["clips"] for point in result["curve"]] == [0, 1]
    whole = np.mean([*result["each"].values()], axis=0)  # both have as many clips
    np.testing.assert_allclose([x["war"]["mean"] for x in result["curve"]], whole)
    assert err.startswith("1: WAR ") and plot.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(
        UserError, match="4 clips of every label or more, got none of 3"
    ):
        benchmarks.main(words)


def test_clips_are_drawn_for_adapting_or_for_testing(root):
    store = adapt.read_wearers(
        root / "wearers", open_batches(restore(root / "run")).clips
    )
    clips, of_person = store.clips, adapt.rows_of_people(store.clips)
    assert [adapt.fewest(clips, of_person[x]) for x in "123"] == [2, 2, 1]
    rng = np.random.default_rng(0)
    pool, rest = adapt.divide(clips, of_person["2"], 1, rng)
    assert clips.label_index[pool].tolist() == [[i] for i in range(7)]
    assert sorted([*pool.ravel(), *rest]) == of_person["2"].tolist()


def test_figures_by_hand():
    shares = np.array([[0.0, 1.0], [0.5, 0.5], [0.5, 1.0]])
    before, after = adapt.curve(shares, ["a", "a", "b"], 3)
    assert after["gain"]["mean"] == 0.5 and after["war"]["mean"] == 2.5 / 3
    # Without a: 0.5. Without b: 0.5. All are alike, and no interval follows.
    assert after["gain"] == {"mean": 0.5, "low": None, "high": None}
    assert adapt.by_person(shares, ["a", "a", "b"]) == {
        "a": [0.25, 0.75],
        "b": [0.5, 1],
    }
    text = adapt.to_text(
        {
            "run": "E4_S3, the last epoch",
            "source": "simulated",
            "machine": "a machine",
            "people": ["a", "b"],
            "num_left_out": 1,
            "num_clips": 3,
            "draws": 1,
            "passes": 2,
            "curve": [before, after],
            "others": {
                "before": 0.75,
                "change": {"mean": -0.01, "low": -0.02, "high": 0.005},
            },
            "seconds": 2.0,
        }
    )
    assert "2 people (1 left out with too few clips)" in text
    assert "1                                     83.3                   +50.0" in text
    last = "others: 75.0 before, change -1.0 (-2.0 to +0.5), with 1 clip of "
    assert (
        last + "each label, last draw\n2.0 s to mix the clips and take the steps"
        in text
    )
