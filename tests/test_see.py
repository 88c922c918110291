"""Names of clips."""

import json
from collections import Counter

import pytest

from seen_jax import see

NAME = "1_001_man_24_Master_normal_angry_45_take000"


class TestClipName:
    def test_fields(self):
        name = see.ClipName.parse(NAME)
        fields = 1, 1, "man", 24, "Master", "normal", "angry", 45, 0
        assert name == see.ClipName(*fields)
        assert str(name) == NAME

    def test_four_digits_where_three_are_usual(self):
        name = NAME.replace("_001_", "_1001_").replace("take000", "take1000")
        assert str(see.ClipName.parse(name)) == name

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("", "expected a clip name of 9 fields .*, got 1 field$"),
            ("1_001_man", "expected a clip name of 9 fields .*, got 3 fields"),
            (NAME + "_x", "got 10 fields"),
            ("0" + NAME, "sequence is a number of at most 9 digits, got '01'"),
            ("-" + NAME, "sequence is a number of at most 9 digits, got '-1'"),
            (NAME.replace("001", "1"), "volunteer is a number of 3 to 9 digits"),
            (NAME.replace("001", "0001"), "volunteer is a number of 3 to 9 digits"),
            # Records keep numbers as int32.
            (NAME.replace("001", "9" * 10), "volunteer is a number of 3 to 9 digits"),
            (NAME.replace("24", "9" * 10), "age is a number of at most 9 digits"),
            (NAME.replace("e000", "e" + "9" * 5000), "take is `take` and a number"),
            (NAME.replace("man", "Man"), "sex is one of man, woman, got 'Man'"),
            (NAME.replace("24", "٢٤"), "age is a number of at most 9 digits, got '٢٤'"),
            (NAME.replace("Ma", "ma"), "one of undergraduate, Master, Doctor, got 'ma"),
            (NAME.replace("normal", "low"), "one of normal, Overexposed, .* got 'low'"),
            (NAME.replace("angry", "anger"), "emotion is one of angry, disgust"),
            (NAME.replace("45", "45.0"), "length is a number of .* digits, got '45.0'"),
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
        assert counts == dict(
            surprise=130, disgust=124, angry=119, fear=113, sadness=100, neutral=92,
            happiness=89, Overexposed=201, normal=196, Low=189, HDR=181, man=472,
            woman=295, undergraduate=525, Master=155, Doctor=87,
        )  # fmt: skip
