"""Names, split files and the split by volunteer."""

import copy
import dataclasses
import json
import os
import pickle
import random
from collections import Counter

import pytest

from seen_jax import see
from tests import samples

NAME = "1_001_man_24_Master_normal_angry_45_take000"


PAST_THE_END = {"segment": [0, 46]}


def a_split(num_volunteers=9):
    """One clip per volunteer and emotion, all of them in training."""
    names = samples.clip_names(num_volunteers)
    clips = {
        str(name): see.Annotation("training", name.emotion, 0, name.length)
        for name in names
    }
    return see.Split(see.EMOTIONS, clips)


def content():
    """A split file of one clip, parsed."""
    note = {"label": "angry", "segment": [0, 45]}
    entry = {"subset": "training", "annotations": note}
    return {"labels": list(see.EMOTIONS), "database": {NAME: entry}}


class TestClipName:
    def test_fields(self):
        name = see.ClipName.parse(NAME)
        assert name == see.ClipName(
            sequence=1,
            volunteer=1,
            sex="man",
            age=24,
            degree="Master",
            lighting="normal",
            emotion="angry",
            length=45,
            take=0,
        )
        assert str(name) == NAME

    def test_four_digits_where_three_are_usual(self):
        name = NAME.replace("_001_", "_1001_").replace("take000", "take1000")
        assert str(see.ClipName.parse(name)) == name

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("", "expected a clip name of 9 fields"),
            ("1_001_man", "expected a clip name of 9 fields .*, got 3 fields"),
            (NAME + "_x", "got 10 fields"),
            (
                NAME.replace("1_", "01_", 1),
                "sequence is a number of at most 9 digits, got '01'",
            ),
            (
                NAME.replace("1_", "-1_", 1),
                "sequence is a number of at most 9 digits, got '-1'",
            ),
            (NAME.replace("001", "1"), "volunteer is a number of 3 to 9 digits"),
            (NAME.replace("001", "0001"), "volunteer is a number of 3 to 9 digits"),
            # Records keep numbers as int32.
            (NAME.replace("001", "9" * 10), "volunteer is a number of 3 to 9 digits"),
            (NAME.replace("24", "9" * 10), "age is a number of at most 9 digits"),
            (NAME.replace("e000", "e" + "9" * 5000), "take is `take` and a number"),
            (NAME.replace("man", "Man"), "sex is one of man, woman, got 'Man'"),
            (NAME.replace("24", "٢٤"), "age is a number of at most 9 digits, got '٢٤'"),
            (
                NAME.replace("Master", "master"),
                "degree is one of undergraduate, Master, Doctor, got 'master'",
            ),
            (
                NAME.replace("normal", "low"),
                "lighting is one of normal, Overexposed, Low, HDR, got 'low'",
            ),
            (NAME.replace("angry", "anger"), "emotion is one of angry, disgust"),
            (
                NAME.replace("45", "45.0"),
                "length is a number of at most 9 digits, got '45.0'",
            ),
            (NAME.replace("take", "Take"), "take is `take` and a number"),
            (NAME.replace("take000", "take0"), "take is `take` and a number"),
            ("../" + NAME, "sequence is a number of at most 9 digits, got '../1'"),
            ("/" + NAME, "sequence is a number of at most 9 digits, got '/1'"),
            (NAME + "/..", "take is .*, got 'take000/..'"),
            (NAME + "\n", "take is .*, got"),
        ],
    )
    def test_refuses(self, name, message):
        with pytest.raises(ValueError, match=message):
            see.ClipName.parse(name)

    def test_published_names(self, shared):
        """Every name of every released result file, against the counts of see.md."""
        files = sorted((shared / "published").glob("*/*.json"))
        assert len(files) >= 3
        lists = [set(json.loads(path.read_text())["results"]) for path in files]
        assert all(names == lists[0] for names in lists)
        assert all(str(see.ClipName.parse(name)) == name for name in lists[0])

        names = [see.ClipName.parse(name) for name in lists[0]]
        assert len(names) == see.NUM_TESTING_CLIPS == 767
        assert sum(name.length for name in names) == 40_266
        assert len({name.volunteer for name in names}) == 89
        assert {name.age for name in names} == {*range(19, 29)}
        counts = Counter()
        for name in names:
            counts.update([name.emotion, name.lighting, name.sex, name.degree])
        assert counts == {
            "surprise": 130,
            "disgust": 124,
            "angry": 119,
            "fear": 113,
            "sadness": 100,
            "neutral": 92,
            "happiness": 89,
            "Overexposed": 201,
            "normal": 196,
            "Low": 189,
            "HDR": 181,
            "man": 472,
            "woman": 295,
            "undergraduate": 525,
            "Master": 155,
            "Doctor": 87,
        }


class TestSplitFile:
    def test_round_trip(self, tmp_path):
        split = see.Split(
            see.EMOTIONS[::-1],
            {
                NAME: see.Annotation("testing", "angry", 3, 45),
                NAME.replace("1_", "2_", 1): see.Annotation("training", "angry", 5, 0),
            },
        )
        path = tmp_path / "emotion.json"
        path.write_text(see.split_to_json(split))
        assert see.load_split(path) == (split, [])

    def test_labels_state_the_class_order_in_any_case(self):
        wrong_case = content() | {
            "labels": ["neutraL", *set(see.EMOTIONS) - {"neutral"}]
        }
        split, problems = see.parse_split(wrong_case, "s")
        assert not problems
        assert split.labels[0] == "neutral"
        assert split.labels[1:] == tuple(wrong_case["labels"][1:])

    def test_the_order_of_the_constant_does_not_matter(self, monkeypatch):
        monkeypatch.setattr(see, "EMOTIONS", see.EMOTIONS[::-1])
        assert see.parse_split(content(), "s")[1] == []

    def test_subsets_leave_out_what_ends_at_0(self):
        other = NAME.replace("1_", "2_", 1)
        clips = {
            NAME: see.Annotation("training", "angry", 0, 45),
            other: see.Annotation("training", "angry", 7, 0),
        }
        split = see.Split(see.EMOTIONS, clips)
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
    def test_refuses_an_entry(self, change, expected):
        broken = content()
        entry = broken["database"][NAME]
        place = entry if change.keys() & entry.keys() else entry["annotations"]
        place.update(change)
        split, (problem,) = see.parse_split(broken, "s.json")
        assert problem.path == f"s.json: database['{NAME}']"
        assert problem.expected.startswith(expected)
        assert problem.clip == NAME
        # The published loader reads the frames that there are.
        assert problem.tolerated == (NAME in split.clips) == (change == PAST_THE_END)

    @pytest.mark.parametrize(
        "name", ["../" + NAME, "/etc/" + NAME, "..", "/etc/passwd"]
    )
    def test_refuses_a_name_that_leaves_the_folder(self, name):
        broken = content()
        broken["database"][name] = broken["database"][NAME]
        split, (problem,) = see.parse_split(broken, "s.json")
        assert problem.path == f"s.json: database[{name!r}]"
        assert problem.expected.startswith("a clip name ")
        assert [*split.clips] == [NAME]

    @pytest.mark.parametrize(
        "labels",
        [
            None,
            [],
            "angry",
            ["one"],
            [*see.EMOTIONS, "angry"],
            [*see.EMOTIONS, "Angry"],  # the same folder where case does not count
            [1],
            ["a/b", "c"],
            ["..", "c"],
            ["a\n", "c"],
            ["\u202ea", "c"],
            ["a" * 201, "c"],
        ],
    )
    def test_refuses_labels(self, labels):
        _, (problem,) = see.parse_split(content() | {"labels": labels}, "s.json")
        assert problem.path == "s.json: labels"
        assert problem.clip == "" and not problem.tolerated

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "expected JSON, got Expecting"),
            ("[1]", "expected a JSON object, got [1]"),
            ("[" * 100_000, "expected JSON, got values nested too deep"),
            ('{"labels": [], "labels": []}', "got named more than once: labels"),
            ("\ud800", "expected text in UTF-8, got 'utf-8' codec can't decode"),
        ],
    )
    def test_refuses_a_file(self, tmp_path, text, message):
        path = tmp_path / "emotion.json"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        split, (problem,) = see.load_split(path)
        assert not split.clips
        assert f"{path}: " in str(problem)
        assert message in str(problem)

    def test_refuses_two_entries_of_one_name(self, tmp_path):
        entry = json.dumps(content()["database"][NAME])
        path = tmp_path / "emotion.json"
        path.write_text(f'{{"database": {{"{NAME}": {entry}, "{NAME}": {entry}}}}}')
        _, (problem,) = see.load_split(path)
        assert problem.got == f"named more than once: {NAME}"

    def test_a_deep_label_is_one_line(self, tmp_path):
        path = tmp_path / "emotion.json"
        for depth in range(900, 1010):  # around Python's limit for parsing
            deep = content()
            deep["database"][NAME]["annotations"]["label"] = "deep"
            text = json.dumps(deep).replace('"deep"', "[" * depth + "]" * depth)
            path.write_text(text)
            _, (problem,) = see.load_split(path)
            assert len(str(problem)) < 400

    def test_no_file(self, tmp_path):
        _, (problem,) = see.load_split(tmp_path / "no.json")
        assert str(problem) == f"{tmp_path}/no.json: expected a file, got none"


class TestOwnLabels:
    """A split file of labels, names and fields that are not SEE's."""

    def own(self, **fields):
        note = {"label": "Yes", "segment": [2, 9]}
        entry = {"subset": "testing", "annotations": note}
        entry["metadata"] = {"volunteer": "Ann", "glasses": 1, **fields}
        return {
            "labels": ["yes", "no", "vielleicht ä"],
            "frames_per_s": 12.5,
            "database": {"clip 1": entry},
        }

    def test_is_read_and_written(self, tmp_path):
        split, problems = see.parse_split(self.own(), "s")
        assert not problems
        assert split.labels == ("yes", "no", "vielleicht ä")
        note = see.Annotation(
            "testing", "yes", 2, 9, {"volunteer": "Ann", "glasses": 1}
        )
        assert split.clips == {"clip 1": note} and split.frames_per_s == 12.5
        path = tmp_path / "s.json"
        path.write_text(see.split_to_json(split))
        assert see.load_split(path) == (split, [])

    def test_a_name_of_see_says_its_fields(self):
        owned = self.own(age=3)
        owned["database"] = {NAME: owned["database"]["clip 1"]}
        split, problems = see.parse_split(owned, "s")
        assert not problems
        assert split.clips[NAME].all_metadata(NAME) == {
            "volunteer": 1,
            "sex": "man",
            "age": 24,
            "degree": "Master",
            "lighting": "normal",
            "glasses": 1,
        }

    @pytest.mark.parametrize(
        "value",
        [None, [], {}, True, float("nan"), float("inf"), 2**53, -(2**53), "\x1b[1m"],
    )
    def test_refuses_metadata(self, value):
        split, (problem,) = see.parse_split(self.own(x=value), "s")
        assert problem.expected.startswith("metadata of printable texts")
        assert not split.clips

    @pytest.mark.parametrize("rate", [0, -1, "30", None, True, float("nan"), 1e7])
    def test_refuses_frames_per_s(self, rate):
        _, (problem,) = see.parse_split(self.own() | {"frames_per_s": rate}, "s")
        assert problem.path == "s: frames_per_s"

    def test_refuses_more_than_anyone_needs(self):
        labels = {"labels": [f"label {i}" for i in range(1001)], "database": {}}
        _, (problem,) = see.parse_split(labels, "s")
        assert problem.expected.startswith("at most 1000 names")
        fields = self.own(**{f"field {i}": i for i in range(100)})
        _, (problem,) = see.parse_split(fields, "s")
        assert problem.expected == "at most 100 different fields of metadata"

    def test_refuses_a_label_of_none(self):
        owned = self.own()
        owned["database"]["clip 1"]["annotations"]["label"] = "perhaps"
        _, (problem,) = see.parse_split(owned, "s")
        assert problem.expected == "a label, one of yes, no, vielleicht ä"

    def test_divides_by_volunteer(self):
        entries = {
            f"clip {i}": see.Annotation("training", x, 0, 9, {"volunteer": who})
            for i, (who, x) in enumerate(
                (who, x) for who in ("Ann", "Ben", 7, "Zoë") for x in ("yes", "no")
            )
        }
        divided = see.split_by_volunteer(see.Split(("yes", "no"), entries))
        people = [
            {entries[x].metadata["volunteer"] for x in divided.of_subset(subset)}
            for subset in see.SUBSETS
        ]
        assert not people[0] & people[1]
        assert people[0] | people[1] == {"Ann", "Ben", 7, "Zoë"}
        assert len(people[1]) == 1  # .25 is nearer to .3189 than .5
        entries["clip 0"] = see.Annotation("training", "yes", 0, 9)
        with pytest.raises(ValueError, match="'clip 0': expected a volunteer in the"):
            see.split_by_volunteer(see.Split(("yes", "no"), entries))


class TestProvenance:
    def test_real_and_simulated(self, tmp_path):
        path = tmp_path / see.PROVENANCE_FILE
        assert see.load_provenance(path) == ({"source": "real"}, [])
        path.write_text('{"source": "simulated", "seed": 7}')
        assert see.load_provenance(path) == ({"source": "simulated", "seed": 7}, [])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "expected JSON, got Expecting"),
            ("[" * 10**5, "expected JSON, got values nested too deep"),
            ('{"source": "real", "source": "simulated"}', "named more than once"),
            ("[]", "plain values"),
            ("{}", "plain values"),
            ('{"source": null}', "plain values"),
            ('{"source": ["real"]}', "plain values"),
            ('{"source": "real", "x": {"y": 1}}', "plain values"),
        ],
    )
    def test_a_broken_file_is_a_problem(self, tmp_path, text, message):
        path = tmp_path / see.PROVENANCE_FILE
        path.write_text(text)
        _, (problem,) = see.load_provenance(path)
        assert str(problem).startswith(f"{path}: expected ")
        assert message in str(problem)

    def test_neither_a_pipe_nor_a_broken_link_is_taken_for_no_file(self, tmp_path):
        pipe, link = tmp_path / "pipe", tmp_path / "link"
        os.mkfifo(pipe)
        link.symlink_to(tmp_path / "none")
        for path in (pipe, link):
            _, (problem,) = see.load_provenance(path)
            assert str(problem).startswith(f"{path}: expected a file, got ")
        _, (problem,) = see.load_split(pipe)
        assert str(problem) == f"{pipe}: expected a file, got a folder or a device"


class TestSplitByVolunteer:
    def test_disjoint_and_near_the_share(self):
        split = a_split(num_volunteers=40)
        divided = see.split_by_volunteer(split)
        people = [
            {see.ClipName.parse(name).volunteer for name in divided.of_subset(subset)}
            for subset in see.SUBSETS
        ]
        assert not people[0] & people[1]
        assert people[0] | people[1] == {*range(1, 41)}
        # 767 of 2,405 is .3189; 13 of 40 volunteers with 7 clips each are .325.
        assert len(people[1]) == 13
        assert divided.labels == split.labels

    def test_keeps_the_proportions_of_the_lightings(self):
        testing = see.split_by_volunteer(a_split(num_volunteers=40)).of_subset(
            "testing"
        )
        counts = Counter(see.ClipName.parse(name).lighting for name in testing)
        assert {counts[x] / 7 for x in see.LIGHTINGS} <= {3, 4}  # 13 volunteers over 4

    def test_a_function_of_the_clips_and_the_seed(self):
        split = a_split()
        shuffled = [*split.clips.items()]
        random.Random(0).shuffle(shuffled)
        shuffled = see.Split(split.labels, dict(shuffled))
        assert see.split_by_volunteer(split) == see.split_by_volunteer(shuffled)
        assert see.split_by_volunteer(split, 1) == see.split_by_volunteer(split, 1)
        assert any(
            see.split_by_volunteer(split, seed) != see.split_by_volunteer(split)
            for seed in range(1, 4)
        )

    def test_ignores_the_subsets_and_keeps_segments_and_what_is_left_out(self):
        split = a_split()
        clips = {
            name: dataclasses.replace(clip, subset="testing", end=clip.end - i % 2)
            for i, (name, clip) in enumerate(split.clips.items())
        }
        clips[NAME] = see.Annotation("training", "angry", 4, 0)
        before = copy.deepcopy(clips)
        divided = see.split_by_volunteer(see.Split(split.labels, clips))
        assert clips == before
        assert divided.clips[NAME].left_out
        for name, clip in divided.clips.items():
            assert (clip.start, clip.end) == (before[name].start, before[name].end)
        subsets = see.split_by_volunteer(split).clips
        assert all(
            divided.clips[name].subset == subsets[name].subset for name in subsets
        )

    def test_needs_two_volunteers(self):
        with pytest.raises(ValueError, match="at least 2 volunteers, got 1"):
            see.split_by_volunteer(a_split(num_volunteers=1))


def test_see_error_crosses_processes_with_its_problems():
    problem = see.Problem("p", "a", "b")
    error = pickle.loads(pickle.dumps(see.SeeError([problem, problem])))
    assert error.problems == (problem, problem)
    assert str(error).startswith("2 problems in the SEE data:\n  p: expected a, got b")
