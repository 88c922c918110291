"""The folder that a bundle goes to; needs no torch."""

import os
import shutil
import subprocess
import sys

import pytest

from seen_jax import files
from seen_jax.errors import UserError
from seen_jax.export import bundle
from seen_jax.runtime import seen_runtime
from tests.helpers import ROOT

RULE = bundle.RULE, bundle._obstacle


def replaced(out):
    return files.new_folder(out, *RULE)


def write(folder, content="new"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*seen_runtime.FILES, seen_runtime.MANIFEST):
        (folder / name).write_text(content)


def content(folder):
    (content,) = {x.read_text() for x in folder.iterdir()}
    return content


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def out(tmp_path):
    """A bundle, with what its use leaves there."""
    write(tmp_path / "b", "before")
    return tmp_path / "b"


def test_a_bundle_is_replaced_with_what_its_use_left(out):
    (out / "seen-0123abcd.engine").touch()
    (out / "__pycache__").mkdir()
    (out / "__pycache__" / "seen_runtime.cpython-311.pyc").touch()
    with replaced(out) as new:
        write(new)
        assert out.exists()
    assert content(out) == "new" and names(out.parent) == ["b"]


def test_what_fails_changes_nothing(out, monkeypatch):
    """The block, or the move of what it made."""
    with pytest.raises(KeyError), replaced(out) as new:
        (new / "seen.pt").write_text("half")
        raise KeyError
    assert content(out) == "before" and names(out.parent) == ["b"]
    real = os.replace

    def fails(source, target):
        if source.name == "new":
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", fails)
    words = "b: expected a place that can be written and has room, got Input/output err"
    with pytest.raises(UserError, match=words), replaced(out) as new:
        write(new)
    assert content(out) == "before" and names(out.parent) == ["b"]


KILLED = """
import os, signal, sys
from pathlib import Path
from seen_jax import files
from seen_jax.export import bundle

def stop(*_):
    os.kill(os.getpid(), signal.SIGKILL)

out, moment = Path(sys.argv[1]), sys.argv[2]
real = os.replace
os.replace = lambda *x: stop() if x[0].name == "new" else real(*x)
with files.new_folder(out, bundle.RULE, bundle._obstacle) as new:
    (new / "seen.pt").write_text("half")
    if moment == "writing":
        stop()
"""


@pytest.mark.parametrize("moment", ["writing", "between the moves", "an empty folder"])
def test_what_a_killed_export_leaves_is_cleared_by_the_next(out, moment):
    # Others' folders, whose names are nearly such:
    for name in (".b.part2", ".b.0123abcd", ".c.part", "b.part"):
        (out.parent / name / "new").mkdir(parents=True)
    before = names(out.parent)
    command = [sys.executable, "-c", KILLED, str(out), moment]
    assert subprocess.run(command, cwd=ROOT).returncode == -9
    assert (out.parent / ".b.part").exists() and out.exists() == (moment == "writing")
    if moment == "an empty folder":  # made by someone since
        out.mkdir()
    with pytest.raises(KeyError), replaced(out) as new:
        assert names(new) == []
        raise KeyError  # so that what was there before counts
    assert content(out) == "before" and names(out.parent) == before


def test_what_no_export_left_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    folder, path = tmp_path / ".b.part", tmp_path / ".b.part" / "mine" / "seen.pt"
    words = rf"{folder}: expected what a killed process leaves, got %s; move it"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(UserError, match=words % "mine"), replaced(tmp_path / "b"):
        pass
    assert path.read_text() == "mine"
    shutil.rmtree(folder)
    folder.symlink_to("mine")
    with pytest.raises(UserError, match=words % "a link"), replaced(tmp_path / "b"):
        pass
    assert names(tmp_path / "mine") == []


def test_one_export_at_a_time(tmp_path):
    with replaced(tmp_path / "b") as new:
        write(new)
        words = "b: expected no other process that writes there, got one; wait"
        with pytest.raises(ValueError, match=words), replaced(tmp_path / "b"):
            pass
        with replaced(tmp_path / "c") as other:
            write(other)
    assert names(tmp_path) == ["b", "c"]


def test_places_that_are_not_free(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "circle").symlink_to("circle")
    for number, name in enumerate(("other.engine", "seen.pt", "manifest.json")):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / name).write_text("mine")
    for name in (seen_runtime.PROGRAM, "manifest.json"):  # named as a bundle's files
        (tmp_path / "3" / name).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    for out, got in (
        (".", "the folder that this runs in"),
        ("..", "the folder that this runs in"),
        ("../file", "a file"),
        ("../circle", "a file"),
        ("../0", r"one with other\.engine in it"),
        ("../1", r"one with seen\.pt in it"),
        ("../2", r"one with manifest\.json in it"),
        ("../3", r"one with manifest\.json in it"),
    ):
        words = f"expected a new folder, an empty one .*, got {got}; give another"
        for call in (files.check_free, lambda *x: files.new_folder(*x).__enter__()):
            with pytest.raises(UserError, match=words):
                call(out, *RULE)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no folder without room")
def test_places_that_cannot_be_written():
    words = "^/proc/b: expected a place that can be written and has room, got .*; make"
    with pytest.raises(UserError, match=words):
        files.check_free("/proc/b")
