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


def replaced(out):
    return files.new_folder(out, bundle.RULE, bundle._obstacle)


def check_free(out):
    files.check_free(out, bundle.RULE, bundle._obstacle)


def write(folder, content="new"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*seen_runtime.FILES, seen_runtime.MANIFEST):
        (folder / name).write_text(content)


def content(folder):
    assert {x.read_text() for x in folder.iterdir()} == {
        (folder / "seen.pt").read_text()
    }
    return (folder / "seen.pt").read_text()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("there", ["none", "deep", "empty", "bundle"])
def test_a_folder_is_made_or_replaced(tmp_path, there):
    out = tmp_path / "a" / "b" if there == "deep" else tmp_path / "b"
    if there == "empty":
        out.mkdir()
    if there == "bundle":
        write(out, "before")
        (out / "seen-0123abcd.engine").write_text("before")
    with replaced(out) as new:
        write(new)
        assert not out.exists() or there in ("empty", "bundle")
    assert content(out) == "new"
    assert names(out.parent) == ["b"]


def test_what_fails_changes_nothing(tmp_path):
    out = tmp_path / "b"
    write(out, "before")
    with pytest.raises(KeyError), replaced(out) as new:
        (new / "seen.pt").write_text("half")
        raise KeyError
    assert content(out) == "before" and names(tmp_path) == ["b"]


def test_a_move_that_fails_is_taken_back(tmp_path, monkeypatch):
    out = tmp_path / "b"
    write(out, "before")
    real = os.replace

    def fails(source, target):
        if source.name == "new":
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", fails)
    words = "b: expected a place that can be written and has room, got Input/output err"
    with pytest.raises(UserError, match=words), replaced(out) as new:
        write(new)
    assert content(out) == "before" and names(tmp_path) == ["b"]


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


@pytest.mark.parametrize("moment", ["writing", "between the moves"])
def test_what_a_killed_export_leaves_is_cleared_by_the_next(tmp_path, moment):
    out = tmp_path / "b"
    write(out, "before")
    # Others' folders, whose names are nearly such:
    for name in (".b.part2", ".b.0123abcd", ".c.part", "b.part"):
        (tmp_path / name / "new").mkdir(parents=True)
    before = names(tmp_path)
    command = [sys.executable, "-c", KILLED, str(out), moment]
    assert subprocess.run(command, cwd=ROOT).returncode == -9
    assert (tmp_path / ".b.part").exists() and out.exists() == (moment == "writing")
    with pytest.raises(KeyError), replaced(out) as new:
        assert names(new) == []
        raise KeyError  # so that what was there before counts
    assert content(out) == "before" and names(tmp_path) == before
    subprocess.run(command, cwd=ROOT)
    with replaced(out) as new:
        write(new)
    assert content(out) == "new" and names(tmp_path) == before


def test_what_no_export_left_is_left_alone(tmp_path):
    folder = tmp_path / ".b.part"
    for inside in ("notes.txt", "mine/seen.pt"):
        path = folder / inside
        path.parent.mkdir(parents=True)
        path.write_text("mine")
        words = rf"\.b\.part: expected what a killed .*, got {inside.split('/')[0]};"
        with pytest.raises(UserError, match=words), replaced(tmp_path / "b"):
            pass
        assert path.read_text() == "mine"
        shutil.rmtree(folder)


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
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine" / "seen.pt").mkdir(parents=True)
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("{}")
    for out, got in (
        (".", "the folder that this runs in"),
        ("..", "the folder that this runs in"),
        ("/", "the folder that this runs in"),
        ("../file", "a file"),
        ("../mine", "one with notes.txt in it"),
        ("../other", "one with manifest.json in it"),
    ):
        words = f"expected a new folder, an empty one .*, got {got}; give another"
        for call in (check_free, lambda x: replaced(x).__enter__()):
            with pytest.raises(ValueError, match=words):
                call(out)
    assert names(tmp_path) == ["file", "here", "mine", "other"] and names(here) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no folder without room")
def test_places_that_cannot_be_written():
    words = "^/proc/b: expected a place that can be written and has room, got .*; make"
    with pytest.raises(UserError, match=words):
        check_free("/proc/b")


@pytest.mark.parametrize("name", ["other.engine", "seen.pt"])
def test_a_folder_that_only_looks_like_a_bundle_is_kept(tmp_path, name):
    out = tmp_path / "b"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(ValueError, match=f"one with {name} in it"):
        check_free(out)
    assert (out / name).read_text() == "mine"


def test_a_link_in_a_circle_is_not_free(tmp_path):
    out = tmp_path / "b"
    out.symlink_to("b")
    with pytest.raises(ValueError, match=r"b: expected a new .*, got a file; give"):
        check_free(out)


def test_a_link_where_a_killed_export_would_be(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (tmp_path / ".b.part").symlink_to("mine")
    words = r"\.b\.part: expected what a killed process leaves, got a link; move it"
    with pytest.raises(ValueError, match=words), replaced(tmp_path / "b"):
        pass
    assert names(mine) == []


def test_folders_named_as_a_bundles_files_are_no_bundle(tmp_path):
    (tmp_path / "b" / "seen.pt").mkdir(parents=True)
    (tmp_path / "b" / "manifest.json").mkdir()
    with pytest.raises(ValueError, match=r"one with manifest\.json in it"):
        check_free(tmp_path / "b")


def test_what_pythons_import_leaves_in_a_bundle_goes_with_it(tmp_path):
    write(tmp_path / "b", "before")
    (tmp_path / "b" / "__pycache__").mkdir()
    (tmp_path / "b" / "__pycache__" / "seen_runtime.cpython-311.pyc").touch()
    with replaced(tmp_path / "b") as new:
        write(new)
    assert content(tmp_path / "b") == "new"


def test_the_old_bundle_goes_back_over_an_empty_folder(tmp_path):
    """Which someone made after an export was killed between its two moves."""
    write(tmp_path / ".b.part" / "old", "before")
    (tmp_path / "b").mkdir()
    with pytest.raises(KeyError), replaced(tmp_path / "b"):
        raise KeyError
    assert content(tmp_path / "b") == "before"
