"""Files and folders that are complete or absent, who holds them, and their errors."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from seen_jax.errors import UserError, refuse, shortened

MAX_JSON_BYTES = 64 << 20  # a split file of SEE has 0.5 MB, a result file 0.7 MB
RECOPY = "copy it again"
READABLE = "a file that can be read"


@contextlib.contextmanager
def explained(
    path: str | os.PathLike,
    remedy: str = "make room or give another place",
    rule: str = "a place that can be written and has room",
    kinds: tuple[type[Exception], ...] = (OSError,),
) -> Iterator[None]:
    """Turns an error of some kinds at a path into a `UserError` that names it."""
    try:
        yield
    except kinds as error:
        why = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        refuse(path, rule, why, remedy)


def programs() -> Path:
    """Returns the folder of train.py, eval.py, configs/ and datasets/.

    They are beside the package in a clone, and inside of it in a wheel (setup.py).
    """
    package = Path(__file__).resolve().parent
    clone = package.parent
    is_clone = (clone / "setup.py").is_file() and (clone / "train.py").is_file()
    return clone if is_clone else package / "programs"


def write_whole(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file as `new_file` does."""
    with new_file(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def new_file(path: str | os.PathLike, ending: str = "") -> Iterator[Path]:
    """Gives the path of a file to write, which becomes `path` when the block ends.

    It is complete or absent, whatever ends the process; an error leaves a file of that
    name as it was.

    Args:
      path: the parts of one path are the same file, so one process at a time writes it.
      ending: of the part's name, .NAME.part, for writers that look at it.

    Raises:
      OSError: the file cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part{ending}")
    try:
        yield part
        put_in_place(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def put_in_place(part: Path, path: Path) -> None:
    """Gives a written file its name, once its content is on the disk."""
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def _anything(folder: Path) -> str:
    """Returns what prevents a folder from being replaced, "" if nothing does."""
    return "one with something in it" if any(folder.iterdir()) else ""


NEW = "a new or empty folder"


@contextlib.contextmanager
def new_folder(
    out: str | os.PathLike,
    rule: str = NEW,
    obstacle: Callable[[Path], str] = _anything,
) -> Iterator[Path]:
    """Gives an empty folder, which becomes `out` when the block ends without an error.

        .NAME.part   beside `out` meanwhile: `new`; `old`, which it replaces; `lock`

    A process that is killed leaves `.NAME.part`, and the next one clears it. If it was
    killed between the two moves, `old` is the only one there is, and is moved back.
    Parents are made. The arguments are those of `check_free`.

    Raises:
      UserError: `out` may not be replaced, another process is writing it, or it cannot
        be written.
    """
    check_free(out, rule, obstacle)
    out = Path(os.path.realpath(out))
    holder = out.with_name(f".{out.name}.part")
    new, old, lock = (holder / name for name in ("new", "old", "lock"))
    refusal = in_use(out)

    def clear():
        if old.exists() and not (out.exists() and any(out.iterdir())):
            os.replace(old, out)
        for folder in (new, old):
            if folder.exists():
                shutil.rmtree(folder)

    with explained(out):
        holder.mkdir(parents=True, exist_ok=True)
        others = {x.name for x in holder.iterdir()} - {"new", "old", "lock"}
        if others or holder.is_symlink():
            what = "a link" if holder.is_symlink() else min(others)
            refuse(holder, "what a killed process leaves", what, "move it elsewhere")
        lock.touch()
        with held(lock, refusal):
            clear()
            new.mkdir()
            try:
                yield new
                if out.exists():
                    os.replace(out, old)
                os.replace(new, out)
            finally:
                clear()
                lock.unlink()
                with contextlib.suppress(OSError):  # another process waits there
                    holder.rmdir()


def check_free(
    out: str | os.PathLike,
    rule: str = NEW,
    obstacle: Callable[[Path], str] = _anything,
) -> None:
    """Raises a `UserError` unless a folder may be written at `out`.

    Args:
      out: may be absent, or a folder without an obstacle.
      rule: what may be there, in words.
      obstacle: from an existing folder to what keeps it from being replaced, or "".
    """
    out = Path(os.path.realpath(out))
    with explained(out):
        got = ""
        if Path.cwd().is_relative_to(out):
            got = "the folder that this runs in"
        elif out.is_dir():
            got = obstacle(out)
        elif os.path.lexists(out):  # a link in a circle too
            got = "a file"
        if got:
            refuse(out, rule, got, "give another folder")
    check_writable(out)


def check_writable(folder: str | os.PathLike) -> None:
    """Raises a `UserError` unless files can be written in a folder, or it be made.

    For a command to call before its work; nothing is left there.
    """
    folder = Path(os.path.realpath(folder))
    with explained(folder):
        place = next(x for x in (folder, *folder.parents) if os.path.lexists(x))
        tempfile.TemporaryFile(dir=place).close()


def check_file(path: str | os.PathLike, flag: str) -> None:
    """Raises a `UserError` unless a file can be written, for a command before its work.

    It is named by the flag that gave it; a file that is there stays as it is.
    """
    path = Path(path)
    if path.is_dir():
        refuse(flag, "a file", f"a folder, {path}", "name a file in it")
    if not path.parent.is_dir():
        remedy = f"make it: mkdir -p {shlex.quote(str(path.parent))}"
        refuse(flag, "a folder that exists", path.parent, remedy)
    with explained(path):
        if path.is_file():
            open(path, "ab").close()
        elif not path.exists():  # else a pipe or a device, which opening may block
            check_writable(Path(os.path.realpath(path)).parent)


def read_text(path: str | os.PathLike, remedy: str = RECOPY) -> str:
    """Reads a text file of at most `MAX_JSON_BYTES`.

    Raises:
      UserError: it is absent, not a regular file (a pipe would block), too large, not
        UTF-8, or cannot be read.
    """
    path = Path(path)
    with explained(path, remedy, READABLE):
        if not path.exists():
            refuse(path, "a file", "none", remedy)
        if not path.is_file():
            refuse(path, "a file", "a folder or a device", remedy)
        if (size := path.stat().st_size) > MAX_JSON_BYTES:
            refuse(path, f"at most {MAX_JSON_BYTES} bytes", size, remedy)
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            refuse(path, "text in UTF-8", error, remedy)


def read_json(path: str | os.PathLike, remedy: str = RECOPY) -> Any:
    """Reads a JSON file; errors as `read_text`, and for text that is not JSON.

    An object that names a key twice is refused: `json` keeps the last one silently.
    """
    text = read_text(path, remedy)
    try:
        return parse_json(text)
    except ValueError as error:
        refuse(path, "JSON", error, remedy)


def parse_json(text: str) -> Any:
    """Parses JSON.

    Raises:
      ValueError: it is not JSON, nested too deep, or an object names a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_object_of_unique_keys)
    except RecursionError as error:
        raise ValueError("values nested too deep") from error


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = [key for key, count in counts.items() if count > 1]
        raise ValueError(f"named more than once: {shortened(', '.join(twice))}")
    return content


def move_into_place(source: Path, place: Path) -> None:
    """Moves a folder or a file, in place of a folder that a killed run left there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    os.replace(source, place)


def in_use(out: Path) -> UserError:
    """Returns the refusal of a folder that another process is writing."""
    return UserError(
        f"{out}: expected no other process that writes there, got one; wait for it or "
        "give another folder"
    )


@contextlib.contextmanager
def held(path: Path, refusal: Exception | None = None) -> Iterator[None]:
    """Holds a file against other processes while the block lasts.

    The hold ends with its process, however that ends, so that no file left behind
    locks anyone out.

    Args:
      path: a file that exists; its content is left alone.
      refusal: raised where another process holds it, or has just removed it; with
        None, this waits.

    Raises:
      OSError: the file cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        try:
            # NFS locks only files to write.
            file = stack.enter_context(open(path, "r+"))
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                raise FileNotFoundError(path)  # its holder removed it, and another came
        except (BlockingIOError, FileNotFoundError) as error:
            raise refusal or error from error
        yield
