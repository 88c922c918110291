"""`evaluation.json`: written, read again, and refused where it is not of the form."""

import json
import os

import pytest

from seen_jax.errors import UserError
from seen_jax.evaluation import examples, provenance
from tests.samples import facts_of

FACTS = facts_of(["b", "a"])
CLIPS = {"names": ["x"], "labels": ["a"], "metadata": {}}
SIZE = {"num_parameters": 12_345, "macs": 6_789_000}
ROW = {"epoch": 1, "loss": 2, "accuracy": 0.5}


@pytest.mark.parametrize(
    "facts, got",
    [
        ([], "no source"),
        ({"source": "real"}, "no dataset"),
        (FACTS | {"passes": "3"}, '"3" as passes'),
        (FACTS | {"passes": True}, "true as passes"),
        (FACTS | {"labels": "ab"}, '"ab" as labels'),
        (FACTS | {"labels": ["a"]}, r'\["a"\] as labels'),
        (FACTS | {"labels": ["a", "a"]}, r'\["a", "a"\] as labels'),
        (FACTS | {"labels": ["a", 3]}, r'\["a", 3\] as labels'),
        (FACTS | {"labels": ["a", ["b"]]}, r'\["a", \["b"\]\] as labels'),
        (FACTS | {"network": 3}, "3 as network"),
        (FACTS | {"size": {"macs": 3}}, r'\{"macs": 3\} as size'),
        (FACTS | {"size": SIZE | {"macs": "3"}}, r"\{.*\} as size"),
        (FACTS | {"efficiency": None}, "nothing as efficiency"),
        (FACTS | {"efficiency": {"macs": 3}}, r'\{"macs": 3\} as efficiency'),
        (FACTS | {"curves": 3}, "3 as curves"),
        (FACTS | {"curves": [{"epoch": 1}]}, r'\[\{"epoch": 1\}\] as curves'),
        (FACTS | {"curves": [ROW | {"war": 1}]}, r"\[.*\] as curves"),
        (FACTS | {"curves": [ROW | {"loss": float("nan")}]}, r"\[.*\] as curves"),
        (FACTS | {"curves": [ROW | {"epoch": 10**400}]}, r"\[.*\.\.\. as curves"),
        (FACTS | {"labels": ["a", "b\x1b"]}, r"\[.*\] as labels"),
        (FACTS | {"labels": ["a", " "]}, r"\[.*\] as labels"),
        (FACTS | {"clips": None}, "nothing as clips"),
        (FACTS | {"clips": CLIPS | {"labels": ["c"]}}, r"\{.*\} as clips"),
        (FACTS | {"clips": CLIPS | {"labels": ["a", "a"]}}, r"\{.*\} as clips"),
        (FACTS | {"clips": CLIPS | {"labels": [["a"]]}}, r"\{.*\} as clips"),
        (FACTS | {"clips": CLIPS | {"names": 3}}, r"\{.*\} as clips"),
        *(
            (FACTS | {"clips": CLIPS | {"metadata": {"age": x}}}, r"\{.*\} as clips")
            for x in ([[1]], [], 3)
        ),
        (
            FACTS | {"clips": CLIPS | {"names": ["x"] * 2, "labels": ["a"] * 2}},
            r"\{.*\} as clips",
        ),
        (FACTS | {"frames_per_s": 0}, "0 as frames_per_s"),
        (FACTS | {"frames_per_s": "30"}, '"30" as frames_per_s'),
        (FACTS | {"frames_per_s": float("nan")}, "NaN as frames_per_s"),
        (FACTS | {"counts": {"num_clips": -1}}, r"\{.*\} as counts"),
        (FACTS | {"counts": {"num_clips": 1, "num_dropped": [1]}}, ".* as counts"),
        (FACTS | {"counts": {"num_clips": 1, "others": 1}}, r"\{.*\} as counts"),
        (FACTS | {"counts": {}}, r"\{\} as counts"),
    ],
)
def test_not_of_the_form(tmp_path, facts, got):
    (tmp_path / provenance.FILE).write_text(json.dumps(facts))
    words = rf"evaluation\.json: expected .*, got {got}; evaluate again or remove it"
    with pytest.raises(UserError, match=words) as error:
        provenance.read(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, read", [(provenance.FILE, provenance.read), (examples.FILE, examples.load)]
)
def test_a_pipe_is_not_waited_for(tmp_path, name, read):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=f"{name}: expected a file, got"):
        read(tmp_path)


def test_facts_that_are_missing(tmp_path):
    with pytest.raises(AssertionError, match="facts without choice, command, dataset"):
        provenance.write(tmp_path, {"source": "real"})


def test_written_and_read(tmp_path):
    rows = [ROW, ROW | {"split": "test", "war": 0.5, "uar": 0.5}]
    provenance.write(tmp_path, FACTS | {"curves": rows})
    assert provenance.read(tmp_path) == FACTS | {"curves": rows}
    assert "3 passes, windows drawn" in provenance.to_text(FACTS)
    assert "network" not in provenance.to_text(FACTS)  # of older ones
    text = provenance.to_text(FACTS | {"network": "cnn", "size": SIZE})
    words = "network cnn: 12,345 parameters, 6.8 M multiply-accumulates for a window"
    assert words in text.splitlines()
    assert "1 pass, windows drawn" in provenance.to_text(FACTS | {"passes": 1})
