"""Split files: what is read, written and refused."""

import json

import pytest

from seen_jax import see
from seen_jax.split import Annotation, Split, load_split, parse_split, split_to_json

NAME = "1_001_man_24_Master_normal_angry_45_take000"
PAST_THE_END = {"segment": [0, 46]}


def content():
    """A split file of one clip, parsed."""
    note = {"label": "angry", "segment": [0, 45]}
    entry = {"subset": "training", "annotations": note}
    return {"labels": list(see.EMOTIONS), "database": {NAME: entry}}


def test_round_trip(tmp_path):
    clips = {NAME: Annotation("testing", "angry", 3, 45)}
    clips[NAME.replace("1_", "2_", 1)] = Annotation("training", "angry", 5, 0)
    split = Split(see.EMOTIONS[::-1], clips)
    path = tmp_path / "emotion.json"
    path.write_text(split_to_json(split))
    assert load_split(path) == (split, [])


def test_labels_state_the_class_order_in_any_case():
    wrong_case = content() | {"labels": ["neutraL", *set(see.EMOTIONS) - {"neutral"}]}
    split, problems = parse_split(wrong_case, "s")
    assert not problems
    assert split.labels[0] == "neutral"
    assert split.labels[1:] == tuple(wrong_case["labels"][1:])


def test_the_order_of_the_constant_does_not_matter(monkeypatch):
    monkeypatch.setattr(see, "EMOTIONS", see.EMOTIONS[::-1])
    assert parse_split(content(), "s")[1] == []


def test_subsets_leave_out_what_ends_at_0():
    other = NAME.replace("1_", "2_", 1)
    clips = {
        NAME: Annotation("training", "angry", 0, 45),
        other: Annotation("training", "angry", 7, 0),
    }
    split = Split(see.EMOTIONS, clips)
    assert split.of_subset("training") == [NAME]
    assert split.of_subset("testing") == []
    with pytest.raises(ValueError, match=r"one of training, testing, got 'train'"):
        split.of_subset("train")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"subset": "validation"}, "a subset, one of training, testing"),
        ({"subset": ["training"]}, "a subset, one of training, testing"),
        ({"annotations": []}, "annotations with label and segment"),
        ({"label": "fear"}, "label angry, as in the clip's name"),
        ({"label": 3}, "label angry, as in the clip's name"),
        ({"segment": [0]}, "segment [start, end]"),
        ({"segment": [5, 5]}, "segment [start, end]"),
        ({"segment": [-1, 5]}, "segment [start, end]"),
        ({"segment": [0.0, 5]}, "segment [start, end]"),
        ({"segment": [False, True]}, "segment [start, end]"),
        ({"segment": None}, "segment [start, end]"),
        (PAST_THE_END, "a segment within the 45 frames of the name"),
    ],
)
def test_refuses_an_entry(change, expected):
    broken = content()
    entry = broken["database"][NAME]
    place = entry if change.keys() & entry.keys() else entry["annotations"]
    place.update(change)
    split, (problem,) = parse_split(broken, "s.json")
    assert problem.path == f"s.json: database['{NAME}']"
    assert problem.expected.startswith(expected)
    assert problem.clip == NAME
    # The published loader reads the frames that there are.
    assert problem.tolerated == (NAME in split.clips) == (change == PAST_THE_END)


@pytest.mark.parametrize("name", ["../" + NAME, "/etc/" + NAME, "..", "/etc/passwd"])
def test_refuses_a_name_that_leaves_the_folder(name):
    broken = content()
    broken["database"][name] = broken["database"][NAME]
    split, (problem,) = parse_split(broken, "s.json")
    assert problem.path == f"s.json: database[{name!r}]"
    assert problem.expected.startswith("a clip name ")
    assert [*split.clips] == [NAME]


LABELS = [None, [], "angry", ["one"], [1]]
LABELS += [[x, "c"] for x in ("a/b", "..", "a\n", "\u202ea", "a" * 201)]
# The last one is the same folder where case does not count.
LABELS += [[*see.EMOTIONS, x] for x in ("angry", "Angry")]


@pytest.mark.parametrize("labels", LABELS)
def test_refuses_labels(labels):
    _, (problem,) = parse_split(content() | {"labels": labels}, "s.json")
    assert problem.path == "s.json: labels"
    assert problem.clip == "" and not problem.tolerated


@pytest.mark.parametrize(
    "text, got", [("{", "JSON, got Expecting"), ("[1]", "a JSON object, got [1]")]
)
def test_refuses_a_file(tmp_path, text, got):
    path = tmp_path / "emotion.json"
    path.write_text(text)
    split, (problem,) = load_split(path)
    assert not split.clips
    assert str(problem).startswith(f"{path}: expected {got}")


@pytest.mark.parametrize("labels", [see.EMOTIONS, ("a", "b")])
def test_long_names_make_short_lines(labels, tmp_path):
    long = "_".join(["x" * 10**5] * 9)
    entry = content()["database"][NAME]
    _, (problem,) = parse_split({"labels": [*labels], "database": {long: entry}}, "s")
    assert len(str(problem)) < 1000 and len(problem.clip) < 1000
    assert str(problem).startswith("s: database['xxx")
    path = tmp_path / "emotion.json"
    path.write_text(f'{{"{long}": 1, "{long}": 2}}')
    _, (problem,) = load_split(path)
    assert len(str(problem)) < 1000


def test_a_deep_label_is_one_line(tmp_path):
    path = tmp_path / "emotion.json"
    for depth in range(900, 1010):  # around Python's limit for parsing
        deep = content()
        deep["database"][NAME]["annotations"]["label"] = "deep"
        text = json.dumps(deep).replace('"deep"', "[" * depth + "]" * depth)
        path.write_text(text)
        _, (problem,) = load_split(path)
        assert len(str(problem)) < 400


def own(**fields):
    """A split file of labels, names and fields that are not SEE's."""
    entry = {"subset": "testing", "annotations": {"label": "Yes", "segment": [2, 9]}}
    entry["metadata"] = {"volunteer": "Ann", "glasses": 1, **fields}
    content = {"labels": ["yes", "no", "vielleicht ä"], "frames_per_s": 12.5}
    return content | {"database": {"clip 1": entry}}


def test_own_labels_are_read_and_written(tmp_path):
    split, problems = parse_split(own(), "s")
    assert not problems
    assert split.labels == ("yes", "no", "vielleicht ä")
    note = Annotation("testing", "yes", 2, 9, {"volunteer": "Ann", "glasses": 1})
    assert split.clips == {"clip 1": note} and split.frames_per_s == 12.5
    path = tmp_path / "s.json"
    path.write_text(split_to_json(split))
    assert load_split(path) == (split, [])


def test_a_name_of_see_says_its_fields():
    owned = own(age=3)
    owned["database"] = {NAME: owned["database"]["clip 1"]}
    split, problems = parse_split(owned, "s")
    assert not problems
    numbers = {"volunteer": 1, "age": 24, "glasses": 1}
    words = {"sex": "man", "degree": "Master", "lighting": "normal"}
    assert split.clips[NAME].all_metadata(NAME) == numbers | words


@pytest.mark.parametrize(
    "value",
    [None, [], {}, True, float("nan"), float("inf"), 2**53, -(2**53), "\x1b[1m"],
)
def test_refuses_metadata(value):
    split, (problem,) = parse_split(own(x=value), "s")
    assert problem.expected.startswith("metadata of printable texts")
    assert not split.clips


@pytest.mark.parametrize("rate", [0, -1, "30", None, True, float("nan"), 1e7])
def test_refuses_frames_per_s(rate):
    _, (problem,) = parse_split(own() | {"frames_per_s": rate}, "s")
    assert problem.path == "s: frames_per_s"


def test_refuses_more_than_anyone_needs():
    labels = {"labels": [f"label {i}" for i in range(1001)], "database": {}}
    _, (problem,) = parse_split(labels, "s")
    assert problem.expected.startswith("at most 1000 names")
    entries = dict.fromkeys(map(str, range(100_001)), 1)
    _, (problem,) = parse_split(own() | {"database": entries}, "s")
    assert str(problem) == "s: database: expected at most 100000 entries, got 100001"
    fields = own(**{f"field {i}": i for i in range(100)})
    _, (problem,) = parse_split(fields, "s")
    assert problem.expected == "at most 100 different fields of metadata"


def test_refuses_a_label_of_none():
    owned = own()
    owned["database"]["clip 1"]["annotations"]["label"] = "perhaps"
    _, (problem,) = parse_split(owned, "s")
    assert problem.expected == "a label, one of yes, no, vielleicht ä"
