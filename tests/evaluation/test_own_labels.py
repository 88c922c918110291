"""Classes, clip names and metadata that are none of SEE, from the folder to the page.

The names are as bad as they may be: markup, formulas, names of other shares.
"""

import dataclasses
import json
import re
import shutil
from functools import partial
from html import escape
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from configs import default
from seen_jax import metrics, see
from seen_jax.data.batches import Batches
from seen_jax.data.windows import Setting
from seen_jax.errors import UserError, run_command
from seen_jax.evaluation import __main__ as command
from seen_jax.evaluation import (
    analysis,
    analysis_text,
    folder,
    provenance,
    report,
    summaries,
)
from seen_jax.evaluation.activity import SYNAPSES, Activity
from seen_jax.evaluation.restored import Restored
from seen_jax.evaluation.results import read_results
from seen_jax.models import networks
from seen_jax.training import epoch, journal, rows, state
from tests.helpers import make_row, memory_records, read_board
from tests.samples import edited, facts_of

LABELS = ("normal", "WAR", "<b>left & right</b>", "class $1", "class $2")
NUM_CLIPS, NUM_PASSES = 18, 2
RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet(np.ones(5), (NUM_PASSES, NUM_CLIPS))
METADATA = {
    "volunteer": np.array(["ada", "bob", "<i>eve</i>", "dan", "kim", "lee"] * 3),
    "age": np.array([19, 20, 31] * 6),
    "glasses": np.array(["yes", "no", "<script>"] * 6),
    "room": np.array([2, 10, "", 2, 10, 2] * 3, object),
    "session": np.arange(NUM_CLIPS),  # a value for each clip
    "camera": np.array(["x"] * NUM_CLIPS),  # the same for all
    "seldom": np.array(["a", "b", *[""] * 16]),
}


def own_clips(tmp_path, metadata=METADATA, **fields):
    clips = memory_records(tmp_path / "data", [6] * NUM_CLIPS).clips
    fields |= {"labels": LABELS, "metadata": metadata}
    names = tuple(f"{i} <img src=x> \u00e9 'q' $" for i in range(NUM_CLIPS))
    index = np.arange(NUM_CLIPS, dtype=np.int32) % 5
    return dataclasses.replace(clips, names=names, label_index=index, **fields)


def activity():
    return Activity(
        attention=np.full((NUM_CLIPS, 3), 1 / 3),
        spatial_rate=np.full(NUM_CLIPS, 0.1),
        rates=np.full((NUM_CLIPS, 1, 5), 0.1),
        operations=np.ones((NUM_CLIPS, 1, len(SYNAPSES))),
        num_neurons=np.ones(5, int),
        step_macs=np.ones(len(SYNAPSES), int),
        step_synapses=np.ones(len(SYNAPSES), int),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder that an evaluation of such a dataset writes."""
    tmp_path = tmp_path_factory.mktemp("written")
    records = memory_records(tmp_path / "data", [6] * NUM_CLIPS)
    clips = own_clips(tmp_path)
    batches = Batches(records, clips, Setting(1, 0), 4, 0, "eval")
    config = default.get_config().to_dict() | {"num_event_frames": 1}
    model = networks.make(config, len(LABELS))
    create = partial(state.create, model, optax.identity(), 1)
    made = jax.eval_shape(create, jax.random.key(0))
    facts = facts_of(LABELS, workdir=str(tmp_path / "<run>"))
    restored = Restored(model, made.variables, config, {}, facts)
    out = tmp_path / "out"
    folder.prepare(out, NUM_PASSES)
    observed = np.arange(NUM_CLIPS), activity()
    folder.write(restored, "test", batches, PROBABILITIES, observed, out, "<eval>")
    return out


@pytest.fixture
def evaluated(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "out"))


def test_results_are_read_as_they_were_written(evaluated, tmp_path):
    (summary,) = summaries.summarise_directories([evaluated])
    results, clips = summary.results, own_clips(tmp_path)
    assert (results.names, results.labels) == (clips.names, LABELS)
    np.testing.assert_array_equal(results.label_index, clips.label_index)
    np.testing.assert_array_equal(results.scores, PROBABILITIES)
    for field, values in METADATA.items():
        assert results.metadata[field].tolist() == values.tolist(), field
    # By hand: a recall is the share of the clips of the class, mean of the passes.
    right = PROBABILITIES.argmax(-1) == clips.label_index
    expected = {
        ("recalls", label): right[:, clips.label_index == k].mean()
        for k, label in enumerate(LABELS)
    } | {metrics.WAR: right.mean()}
    expected[metrics.UAR] = np.mean([expected["recalls", x] for x in LABELS])
    assert summary.mean == pytest.approx(expected)
    assert report.columns([summary]) == [*expected]  # no lightings, not SEE's order


def test_fields_of_few_values_are_groups(evaluated):
    (summary,) = summaries.summarise_directories([evaluated])
    groups = [(g.kind, g.name, g.num_clips, g.num_volunteers)
              for g in analysis.by_group(summary.results)]  # fmt: skip
    ages = [("age", x, 6, 2) for x in ("under 20", "20-21", "26 and over")]
    glasses = [("glasses", x, 6, 2) for x in ("<script>", "no", "yes")]
    assert groups == [*ages, *glasses, ("room", "2", 9, 3), ("room", "10", 6, 2)]
    text = analysis_text.to_text(summary.results)
    assert "of the 6 volunteers" in text and "1 normal " in text


@pytest.mark.parametrize("who", [None, ["a", *[""] * 17]])
def test_people_who_are_not_known_have_no_intervals(evaluated, who):
    (summary,) = summaries.summarise_directories([evaluated])
    metadata = {"glasses": METADATA["glasses"]}
    metadata |= {} if who is None else {"volunteer": np.array(who)}
    results = dataclasses.replace(summary.results, metadata=metadata)
    text = analysis_text.to_text(results)
    assert "of volunteers           not known: clips do not name who they show" in text
    facts = analysis_text.to_json(results)
    assert facts["interval_over_volunteers"] is None
    assert [group["num_volunteers"] for group in facts["groups"]] == [None] * 3


def test_volunteers_may_be_numbers_or_text(evaluated):
    (summary,) = summaries.summarise_directories([evaluated])
    mixed = np.array([1, "1b", 2, "x", 5, 6] * 3, object)
    for who in (mixed, np.arange(NUM_CLIPS) % 6):
        metadata = {"volunteer": who}
        results = dataclasses.replace(summary.results, metadata=metadata)
        assert len({*results.volunteers.tolist()}) == 6
        assert metrics.WAR in analysis.over_volunteers(results)


def test_the_page_escapes_what_is_not_its_own(evaluated, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert run_command(lambda: command.main(["report", str(evaluated)])) == 0
    printed = capsys.readouterr().out
    assert "classes" in printed and "WAR (class)" in printed
    assert "18 clips, 30 frames per second" in printed
    arguments = ["report", str(evaluated), str(evaluated.parent / "b"), "--html"]
    (evaluated.parent / "b").mkdir()
    for file in evaluated.iterdir():
        (evaluated.parent / "b" / file.name).write_bytes(file.read_bytes())
    assert run_command(lambda: command.main([*arguments, str(page)])) == 0
    text = page.read_text()
    for word in (*LABELS, "<script>", "<eval>", "<run>", "0 <img src=x> \u00e9 'q' $"):
        assert escape(word) in text, word
    assert "<h2>By class</h2>" in text
    bare = re.sub(r'"data:image/png;base64,[^"]*"', '""', text)
    for word in ("<b>left", "<script", "<i>eve", "src=x>", "<eval>", "<run>"):
        assert word not in bare, word


def test_json_tells_shares_of_the_same_name_apart(evaluated, capsys):
    command.main(["report", "--json", str(evaluated)])
    (facts,) = json.loads(capsys.readouterr().out)
    mean = facts["mean"]
    assert [*mean["recalls"]] == [*LABELS] and mean["lightings"] == {}
    assert mean["recalls"]["WAR"] != mean["overall"]["WAR"]
    assert "clips" not in facts["provenance"]


def test_clips_that_are_left_out_are_said(evaluated):
    facts = provenance.read(evaluated)
    counts = dict(num_clips=2398, num_left_out=7, num_dropped=[3, 0], num_short=2)
    facts |= {"counts": counts, "frames_per_s": 12.5}
    words = (
        "2,398 of 2,405 clips, 7 left out, 3 event and 0 intensity frames dropped, "
        "2 shorter than a window, repeated cyclically, 12.5 frames per second"
    )
    assert words in provenance.to_text(facts)


def test_terminals_get_no_control_characters(evaluated):
    (summary,) = summaries.summarise_directories([evaluated])
    glasses = np.array(["\x1b[2J", "a\nb", "\u202e"] * 6)
    facts = summary.facts | {"command": "\x1b]0;x\x07"}
    results = dataclasses.replace(summary.results, metadata={"glasses": glasses})
    text = report.to_text([dataclasses.replace(summary, results=results, facts=facts)])
    assert not {*"\x1b\x07\u202e"} & {*text}
    assert r"glasses a\nb" in text and r"\x1b[2J" in text


def test_other_clips_than_the_facts_have(evaluated):
    facts = provenance.read(evaluated)
    for values in (facts["clips"]["names"], facts["clips"]["labels"]):
        values.pop()
    with pytest.raises(UserError, match=r"being in test_1\.json alone"):
        read_results(evaluated, LABELS, facts["clips"])


def test_facts_of_another_form(evaluated, capsys):
    with edited(evaluated / provenance.FILE) as facts:
        facts["counts"] = {}
    assert run_command(lambda: command.main(["report", str(evaluated)])) == 1
    error = capsys.readouterr().err
    assert " as counts; evaluate again" in error and error.count("\n") == 1


def test_a_row_of_a_run(tmp_path):
    clips = own_clips(tmp_path)
    row = make_row(1) | epoch.measure(clips, "test", PROBABILITIES)
    assert [*row["mean"]["recalls"]] == [*LABELS]
    assert row["mean"]["lightings"] == {}
    run = tmp_path / "run"
    run.mkdir()
    writer = journal.Journal(run, "last", LABELS, num_epochs=2, num_clips=3)
    writer.epoch(row)
    writer.close()
    assert rows.read_rows(run) == [row]
    tags = read_board(run)
    assert "acc/normal" in tags and "Metrics/WAR-average" in tags
    assert not [tag for tag in tags if tag.startswith("situation/")]


def test_classes_of_its_own_with_lightings_of_see(tmp_path):
    lit = {"lighting": np.array(["normal", "HDR", "Low"] * 6)}
    row = epoch.measure(own_clips(tmp_path, lit), "test", PROBABILITIES)
    assert [*row["mean"]["lightings"]] == [*see.LIGHTINGS]
    assert row["mean"]["lightings"]["Overexposed"] is None
    assert row["mean"]["recalls"]["normal"] is not None
