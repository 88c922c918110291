"""Files that are complete or absent, and held against other processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seen_jax import event_folder, files, recordings, see_folder
from seen_jax.errors import UserError, refuse, run_command
from seen_jax.evaluation import __main__ as report
from seen_jax.files import held
from seen_jax.simulator import __main__ as simulator
from seen_jax.simulator import calibration
from tests.helpers import ROOT

HOLDS = """
import sys, time
from pathlib import Path
from seen_jax.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
    if len(sys.argv) > 3:
        Path(sys.argv[1]).unlink()
"""


class RefusedError(Exception):
    pass


@pytest.fixture
def file(tmp_path):
    (tmp_path / "lock").write_text("mine")
    return tmp_path / "lock"


@pytest.fixture
def other(file):
    """Returns a function that starts a process which holds the file for so long."""
    started = []

    def start(seconds, *more):
        command = [sys.executable, "-c", HOLDS, str(file), str(seconds), *more]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE))
        assert started[0].stdout.readline() == b"held\n"
        return started[0]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_hold_ends_with_the_block(file):
    for _ in range(2):
        with held(file), pytest.raises(RefusedError), held(file, RefusedError()):
            pass
    assert file.read_text() == "mine"


def test_a_hold_ends_with_its_process(file, other):
    process = other(600)
    with pytest.raises(RefusedError), held(file, RefusedError()):
        pass
    process.kill()
    process.wait()
    with held(file, RefusedError()):
        pass


def test_it_waits_where_nothing_is_refused(file, other):
    process = other(0.3)
    with held(file):
        pass
    assert process.wait() == 0


def test_a_file_that_its_holder_removed_is_not_held(file, other):
    """Else two would each hold a file of that name."""
    other(0.3, "and remove it")
    with pytest.raises(FileNotFoundError), held(file):
        pass
    with pytest.raises(RefusedError), held(file, RefusedError()):
        pass


def test_errors_of_the_block_are_its_own(file):
    with pytest.raises(BlockingIOError), held(file, RefusedError()):
        raise BlockingIOError


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_whole(path, "one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *x: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            files.write_whole(path, b"another")
    with pytest.raises(KeyError), files.new_file(path, ".txt") as part:
        assert part == tmp_path / ".file.part.txt"
        part.write_text("a half")
        raise KeyError
    assert path.read_text() == "one"
    assert [x.name for x in tmp_path.iterdir()] == ["file"]
    files.write_whole(path, b"another")
    assert path.read_text() == "another"
    assert [x.name for x in tmp_path.iterdir()] == ["file"]


def test_a_folder_appears_when_it_is_complete(tmp_path):
    out = tmp_path / "deep" / "out"
    with files.new_folder(out) as folder:
        (folder / "a").write_text("a")
        assert not out.exists()
    assert [x.name for x in out.iterdir()] == ["a"]
    assert [x.name for x in out.parent.iterdir()] == ["out"]


def test_a_folder_whose_block_fails_is_not_there(tmp_path):
    with pytest.raises(KeyError), files.new_folder(tmp_path / "out"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for place, got in ((tmp_path, "one with something"), (tmp_path / "file", "a file")):
        with pytest.raises(UserError, match=f"new or empty folder, got {got}"):
            files.check_free(place)
    for place in ("new", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        files.check_free(tmp_path / place)
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UserError, match="got the folder that this runs in; give"):
        files.check_free(".")


def test_a_place_is_tried_before_any_work(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in ("new/deep", "."):
        files.check_writable(tmp_path / place)
    with pytest.raises(UserError, match=r"new: expected a place .* Not a directory"):
        files.check_writable(tmp_path / "file" / "new")
    for name in ("file", "new"):
        files.check_file(tmp_path / name, "--html")
    with pytest.raises(UserError, match="--html: expected a file, got a folder, "):
        files.check_file(tmp_path, "--html")
    words = "--html: expected a folder that exists.* mkdir -p '.*/no such'$"
    with pytest.raises(UserError, match=words):
        files.check_file(tmp_path / "no such" / "page", "--html")
    (tmp_path / "link").symlink_to("target")  # of a file that is still to be written
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a reader
    for name in ("link", "pipe"):
        files.check_file(tmp_path / name, "--html")
    assert sorted(x.name for x in tmp_path.iterdir()) == ["file", "link", "pipe"]
    assert (tmp_path / "file").read_text() == "mine"


# Each has a second fault, which is told once its work has begun.
COMMANDS = [
    (see_folder, "absent --problems=missing/x", "--problems: expected"),
    (see_folder, "absent --write_volunteer_split=missing/x", "--write_volunteer_split"),
    (calibration, "absent --sheet=missing/x.png", "--sheet: expected"),
    (calibration, "absent --panels=missing", "--panels: expected"),
    (event_folder, "absent --out=x --preview=file/x.png", "file: expected a place"),
    (event_folder, "absent --out=file/x", "x: expected a place"),
    (recordings, "--clips=absent --out=file/x", "x: expected a place"),
    (simulator, "--out=file/x --volunteers=1 --clips=1", "x: expected a place"),
    (report, "report absent --html=missing/x", "--html: .* missing; make it: mkdir -p"),
    (report, "report absent --html=.", "--html: .* a folder, .; name a file in it"),
    (report, "report absent --html=", "--html: .* a folder, .; name a file in it"),
]


@pytest.mark.parametrize("command, given, words", COMMANDS)
def test_commands_refuse_a_place_before_their_work(
    tmp_path, monkeypatch, command, given, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=words):
        command.main(given.split())
    assert [x.name for x in tmp_path.iterdir()] == ["file"]


def test_an_error_of_writing_names_the_place_and_what_to_do(tmp_path):
    words = "there: expected a place .* got No space left on device; make room"
    with pytest.raises(UserError, match=words), files.explained(tmp_path / "there"):
        raise OSError(28, "No space left on device")


BAD_JSON = {
    "{": "expected JSON, got Expecting property name",
    '{"a": 1, "a": 2}': "expected JSON, got named more than once: a",
    "[" * 100_000: "expected JSON, got values nested too deep",
    b"\xff\xfe": "expected text in UTF-8",
}


@pytest.mark.parametrize("content", BAD_JSON, ids=range(len(BAD_JSON)))
def test_a_file_that_is_no_json_is_one_line(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as error:
        files.read_json(path)
    assert str(error.value).startswith(f"{path}: {BAD_JSON[content]}")
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero", "."):
        with pytest.raises(UserError, match="a file, got a folder or a device"):
            files.read_json(tmp_path / name)
    with pytest.raises(UserError, match="expected a file, got none"):
        files.read_json(tmp_path / "absent")
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 3)
    (tmp_path / "large").write_text("1234")
    with pytest.raises(UserError, match="expected at most 3 bytes, got 4"):
        files.read_json(tmp_path / "large")


def test_a_command_prints_what_a_user_can_fix(capsys):
    def refuse_all():
        refuse("flag", "1", 2, "give 1")

    assert run_command(lambda: None) == 0 and run_command(lambda: 3) == 3
    assert run_command(refuse_all) == 1
    assert capsys.readouterr().err == "flag: expected 1, got 2; give 1\n"
    assert run_command(lambda: Path("/no/such").read_text()) == 1
    assert "/no/such" in capsys.readouterr().err
    assert run_command(lambda: 1 / 0, also=(ZeroDivisionError,)) == 1
    with pytest.raises(ZeroDivisionError):  # a fault of the program: with traceback
        run_command(lambda: 1 / 0)


def test_a_command_says_what_an_os_error_means(tmp_path, capsys):
    assert run_command(tmp_path.read_bytes) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}: expected a place that can be read and written, got Is a "
        "directory; see its permissions, or name another place\n"
    )
