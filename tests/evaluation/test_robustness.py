"""The command on a network that never trained, and its numbers on made-up ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from seen_jax import metrics, see, svg
from seen_jax.errors import UserError
from seen_jax.evaluation import __main__ as command
from seen_jax.evaluation import (
    provenance,
    restored,
    robustness,
    robustness_report,
    summaries,
)
from seen_jax.evaluation.robustness_kinds import KINDS, NOTHING
from tests import helpers, samples
from tests.pictures import elements, texts

SETTING = {"num_event_frames": 1, "skip": 0, "batch_size": 3}


@pytest.fixture(scope="module")
def folder(module_folder):
    return helpers.write_run(module_folder, {3: 0.5}, levels=(0, 128, 255), **SETTING)


def run(folder, *flags):
    command.main(["robustness", f"--workdir={folder}", "--passes=2", *flags])


def test_the_baseline_is_the_evaluation(folder):
    """Bit by bit, and so for every kind at 0, whose windows are the same."""
    task = restored.restore(folder)
    batches = restored.open_batches(task)
    expected = restored.evaluate(task, batches, 2, progress=False)
    measured = robustness.make_measure(task, batches, 2)(NOTHING, 0)
    np.testing.assert_array_equal(measured.scores, expected)
    np.testing.assert_array_equal(measured.label_index, batches.clips.label_index)
    assert measured.names == batches.clips.names and measured.num_passes == 2


def test_a_command_that_was_killed_keeps_what_is_done(folder, tmp_path, capsys):
    run(folder, f"--out={tmp_path / 'all'}", "--kinds=late,lost")
    printed = capsys.readouterr().out
    whole = json.loads((tmp_path / "all" / "robustness.json").read_text())
    assert [x["name"] for x in whole["kinds"]] == ["late", "lost"]
    for kind in whole["kinds"]:
        severities = [*KINDS[kind["name"]].severities]
        assert [x["severity"] for x in kind["points"]] == severities
        zero = kind["points"][severities.index(0)]
        assert zero["war"] == whole["baseline"]["war"] and zero["war_difference"] == 0
        assert zero["war_interval"] is None
        assert kind["sentence"] in " ".join(printed.split())
    assert (whole["passes"], whole["split"], whole["source"]) == (2, "test", "real")
    assert (whole["num_clips"], whole["num_volunteers"]) == (4, 2)
    assert "--kinds=late,lost" in whole["command"] and whole["step"] == 3
    picture = (tmp_path / "all" / "robustness.svg").read_text()
    assert picture.startswith("<svg ") and "Lighting of the clips" in picture
    assert all(f">{x['title']} ({x['unit']})<" in picture for x in whole["kinds"])

    part = tmp_path / "part"
    run(folder, f"--out={part}", "--kinds=lost")
    file = part / "robustness.json"
    with samples.edited(file) as content:
        assert content["kinds"] == whole["kinds"][1:]  # a rerun: the same numbers
        content["kinds"][0]["title"] = "as it was"
    run(folder, f"--out={part}", "--kinds=late,lost")
    kinds = json.loads(file.read_text())["kinds"]
    assert kinds[0] == whole["kinds"][0]
    assert kinds[1] == whole["kinds"][1] | {"title": "as it was"}
    capsys.readouterr()
    run(folder, f"--out={part}", "--kinds", "late, lost")  # nothing is left to do
    assert "as it was (percent of the events)" in capsys.readouterr().out
    # The command is that of all kinds which are there.
    asked = json.loads(file.read_text())["command"]
    assert asked.endswith(f"--passes=2 --out={part} --kinds=late,lost")


def made_before(kinds, **changes):
    """What an earlier command wrote, and the facts of one that runs today."""
    facts = {"step": 3, "passes": 5, "workdir": "runs/a", "evaluated_at": "abc"}
    points = {x: [{"severity": y} for y in KINDS[x].severities] for x in kinds}
    kinds = [{"name": x, "points": y} for x, y in points.items()]
    return facts | {"kinds": kinds} | changes, facts


@pytest.mark.parametrize(
    "same",
    [
        {"evaluated_at": "another commit"},
        {"choice": "named by its step"},
        {"workdir": "runs/a/"},
        {"workdir": "../" + Path.cwd().name + "/runs/a"},
        {"command": "another"},
    ],
)
def test_kinds_that_would_be_measured_the_same_stay(same):
    kept = robustness._kept(*made_before(["late", "lost"], **same), Path("F"))
    assert [*kept] == ["late", "lost"]


@pytest.mark.parametrize(
    "other, words",
    [
        ({"passes": 2}, "passes 2 (now 5)"),
        ({"step": 6, "passes": 2}, "passes 2 (now 5), step 6 (now 3)"),
    ],
)
def test_kinds_that_would_be_measured_otherwise_are_not_lost(other, words):
    with pytest.raises(UserError) as error:
        robustness._kept(*made_before(["late", "lost"], **other), Path("F"))
    assert str(error.value).startswith("F/robustness.json: expected ")
    assert f"got {words}; remove it, or give another folder" in str(error.value)


def test_other_severities_are_told():
    before, facts = made_before(["late", "lost"])
    before["kinds"][0]["points"].pop()
    with pytest.raises(UserError, match="other severities of late"):
        robustness._kept(before, facts, Path("F"))


def test_an_evaluation_of_other_data_is_noticed_before_measuring(folder, tmp_path):
    facts = samples.facts_of(see.EMOTIONS, split="train", step=3)
    provenance.write(tmp_path, facts)
    with pytest.raises(UserError, match=r"split test, .* to go beside it, got "):
        run(folder, f"--out={tmp_path}", "--kinds=lost")
    assert not (tmp_path / "robustness.json").exists()


def test_an_evaluation_of_other_weights_is_noticed(tmp_path):
    facts = samples.facts_of(see.EMOTIONS, weights="abc")
    provenance.write(tmp_path, facts)
    robustness_report.check_beside(tmp_path, facts)
    with pytest.raises(UserError, match="weights def, to go beside it, got weights ab"):
        robustness_report.check_beside(tmp_path, facts | {"weights": "def"})
    del facts["weights"]  # as of an older program
    provenance.write(tmp_path, facts)
    robustness_report.check_beside(tmp_path, facts | {"weights": "def"})


def made_up(num_right):
    """(kind, severity) -> results of 6 people, of whom some clips are wrong."""
    names = samples.clip_names(6, (18,))
    truth = np.array([see.EMOTIONS.index(x.emotion) for x in names])

    def measure_one(kind, severity):
        predictions = np.stack([truth, truth])
        for who, count in enumerate(num_right(severity)):
            clips = np.arange(7 * who, 7 * who + 7)[count:]
            predictions[:, clips] = (truth[clips] + 1) % 7
        return samples.results_of(names, predictions)

    return measure_one


def test_differences_and_intervals():
    """Of 7 clips of each person 6 are right; in the first one, two less by severity."""
    lost = 2

    def num_right(severity):
        return [6 - lost * bool(severity), 6, 6, 6, 6, 6]

    (content,) = robustness.measure(made_up(num_right), "E4_S3", ["late"], {})
    assert content["num_volunteers"] == 6
    assert content["baseline"]["war"] == pytest.approx(36 / 42)
    low, high = content["baseline"]["war_interval"]
    assert low < 36 / 42 < high
    zero, *points = content["kinds"][0]["points"]
    assert zero["war_interval"] is None
    # Jackknife: without the first person 0, else -2/35; t of 5 is 2.5706.
    without = np.array([0] + 5 * [-2 / 35])
    error = np.sqrt(5 / 6 * ((without - without.mean()) ** 2).sum())
    for x in points:
        assert x["war"] == pytest.approx(34 / 42)
        assert x["war_difference"] == pytest.approx(-2 / 42)
        reach = 2.570582 * error
        assert x["war_interval"] == pytest.approx([-2 / 42 - reach, -2 / 42 + reach])
        # One of six neutral clips and one of six sad ones, of seven classes.
        assert x["uar_difference"] == pytest.approx(-2 / 42)
    lit = {x["lighting"]: x for x in content["lightings"]["points"]}
    # Persons 1 to 6 in lightings 1, 2, 3, 0, 1, 2.
    assert {name: x["num_clips"] for name, x in lit.items()} == dict(
        zip(see.LIGHTINGS, (7, 14, 14, 7), strict=True)
    )
    assert lit["Low"]["share"] == pytest.approx(12 / 14)
    assert lit["Low"]["published"] == 0.808 and lit["Low"]["interval"] is None


def test_the_picture_of_one_run_has_its_uar_too():
    (content,) = robustness.measure(made_up(lambda _: [6] * 6), "", ["late"], {})
    for x in content["kinds"][0]["points"]:
        x |= {"war": 0.5, "uar": 0.25}

    def lines(*contents):
        picture = robustness_report.plot("late", [("", contents)], "frames")
        first = ((x, x.get("points").split()[0]) for x in elements(picture, "polyline"))
        return [
            (x.get("stroke-dasharray"), float(start.split(",")[1]))
            for x, start in first
        ], texts(picture)

    ((war, high), (uar, low)), words = lines(content)
    bottom = svg.HEIGHT - svg.BOTTOM
    assert (war, uar) == (None, "5 4") and {"WAR", "UAR"} <= {*words}
    assert bottom - high == pytest.approx(2 * (bottom - low), abs=0.2)
    assert [x for x, _ in lines(content, content)[0]] == [None, None]


def test_the_figures_beside_the_paper_are_its_own():
    """Of settings that the paper has in its files, and of no other."""
    measure_one = made_up(lambda severity: [7] * 6)
    (content,) = robustness.measure(measure_one, "E5_S1", ["late"], {})
    assert {x["published"] for x in content["lightings"]["points"]} == {None}
    summary = summaries.summarise("", measure_one(NOTHING, 0))
    assert content["baseline"]["uar"] == summary.mean[metrics.UAR] == 1


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--kinds=late,fog"], "kinds: expected one of shift, .*, got 'fog'"),
        (["--passes=0"], "passes: expected 1 to 10000, got 0"),
        (["--split=dev"], "split: expected one of test, train, validation, got 'dev'"),
        (["--step=4"], "step: expected one of"),
    ],
)
def test_what_is_not_there(folder, tmp_path, flags, words):
    with pytest.raises(UserError, match=words):
        run(folder, f"--out={tmp_path / 'out'}", *flags)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_told_before_opening_the_data(
    folder, tmp_path
):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="out: expected a place that can be written"):
        run(folder, f"--out={tmp_path / 'file' / 'out'}", "--data_dir=absent")


def test_a_run_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="expected the folder of a run"):
        run(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"kinds": [{}], "lightings": null}'])
def test_a_file_that_is_damaged(tmp_path, text):
    assert robustness_report.read(tmp_path) is None
    (tmp_path / "robustness.json").write_text(text)
    with pytest.raises(UserError, match=r"robustness\.json: .* remove it and run"):
        robustness_report.read(tmp_path)
