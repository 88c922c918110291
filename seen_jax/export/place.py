"""Where a bundle goes: a folder that is replaced whole, whatever ends the export.

    BUNDLE            the bundle that is there, or none
    .BUNDLE.export    while another is made: `new`, it; `old`, the one that it replaces;
                      `lock`, held while the process lives

What a reader would get wrong: a killed export cannot clear `.BUNDLE.export`, so the
next one does. If it was killed between its two moves, `old` is the only bundle there
is, and goes back first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from seen_jax.runtime import seen_runtime

# In a bundle, beside engines; the folder is Python's, where the runtime was imported.
KNOWN = {*seen_runtime.FILES, seen_runtime.MANIFEST, "__pycache__"}


def check_free(out: str | os.PathLike) -> None:
    """Checks that a bundle may be written.

    Args:
      out: a folder that is new, empty, or a bundle.

    Raises:
      ValueError: it is something else, or the folder one works in.
      OSError: it cannot be written.
    """
    out = Path(out).resolve()
    with reported(out):
        place = next(path for path in (*out.parents, out) if path.exists())
        if Path.cwd().is_relative_to(out):
            found = "the folder that this runs in"
        elif out.is_dir():
            found = _contents(out)
        elif out.exists():
            found = "a file"
        else:
            found = "" if place.is_dir() else f"{place}, a file"
        if not found:
            tempfile.TemporaryFile(dir=place).close()
            return
    raise ValueError(
        f"{out}: expected a new folder, an empty one or a bundle to replace, got "
        f"{found}; give another folder"
    )


@contextlib.contextmanager
def replaced(out: str | os.PathLike) -> Iterator[Path]:
    """Gives an empty folder, which becomes `out` when the block has ended well.

    Raises:
      ValueError: `out` is not free, another export is writing there, or its folder
        holds what none has left.
      OSError: it cannot be written.
    """
    out = Path(out).resolve()
    check_free(out)
    folder = out.with_name(f".{out.name}.export")
    new, old, lock = (folder / name for name in ("new", "old", "lock"))
    with contextlib.ExitStack() as stack:
        with reported(out):
            folder.mkdir(parents=True, exist_ok=True)
            _check_ours(folder)
            file = stack.enter_context(open(lock, "w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"{out}: expected one export at a time, got another that is going on; "
                "wait for it or give another folder"
            ) from error

        def clear():
            if old.exists() and not (out.exists() and any(out.iterdir())):
                os.replace(old, out)  # over an empty folder too
            for path in (new, old):
                if path.exists():
                    shutil.rmtree(path)

        with reported(out):
            clear()
            new.mkdir()
        try:
            yield new
            with reported(out):
                if out.exists():
                    os.replace(out, old)
                os.replace(new, out)
        finally:
            clear()
            lock.unlink()
            with contextlib.suppress(OSError):  # another export has begun there
                folder.rmdir()


@contextlib.contextmanager
def reported(out: Path) -> Iterator[None]:
    """Says what could not be written, and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{out}: expected a place that can be written and has room, got "
            f"{error.strerror or error}; mend it or give another folder"
        ) from error


def _contents(folder: Path) -> str:
    """Says what a folder holds, if it is neither empty nor a bundle."""
    names = {path.name for path in folder.iterdir()}
    if {seen_runtime.FILES[0], seen_runtime.MANIFEST} <= names:  # a bundle
        names = {name for name in names - KNOWN if not _is_engine(folder / name)}
    return f"one with {min(names)} in it" if names else ""


def _is_engine(path: Path) -> bool:
    """Whether it is what TensorRT made of a bundle, which is of no use to another."""
    return path.suffix == ".engine" and path.is_file()


def _check_ours(folder: Path) -> None:
    """Raises a ValueError unless all that is there was left by an export."""
    for path in folder.iterdir():
        names = {x.name for x in path.iterdir()} if path.is_dir() else set()
        engines = {name for name in names if name.endswith(".engine")}
        if path.name not in ("new", "old", "lock") or not names - engines <= KNOWN:
            raise ValueError(
                f"{folder}: expected what a killed export leaves, got {path.name} with "
                "something else; move it elsewhere"
            )
