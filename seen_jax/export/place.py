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
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from seen_jax.errors import UserError
from seen_jax.files import held
from seen_jax.runtime import seen_runtime


def check_free(out: str | os.PathLike) -> None:
    """Checks that a bundle may be written.

    Args:
      out: a folder that is new, empty, or a bundle.

    Raises:
      ValueError: it is something else, or the folder one works in.
      OSError: it cannot be written.
    """
    out = Path(os.path.realpath(out))
    with reported(out):
        place = next(path for path in (*out.parents, out) if path.exists())
        if Path.cwd().is_relative_to(out):
            found = "the folder that this runs in"
        elif out.is_dir():
            found = _contents(out)
        elif os.path.lexists(out):  # a link in a circle too
            found = "a file"
        else:
            found = "" if place.is_dir() else f"{place}, a file"
        if not found:
            tempfile.TemporaryFile(dir=place).close()
            return
    raise UserError(
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
    out = Path(os.path.realpath(out))
    check_free(out)
    folder = out.with_name(f".{out.name}.export")
    new, old, lock = (folder / name for name in ("new", "old", "lock"))
    made = [path for path in out.parents if not path.exists()]
    with reported(out):
        folder.mkdir(parents=True, exist_ok=True)
        _check_ours(folder)
        lock.touch()
    refusal = UserError(
        f"{out}: expected one export at a time, got another that is going on; wait for "
        "it or give another folder"
    )

    def clear():
        if old.exists() and not (out.exists() and any(out.iterdir())):
            os.replace(old, out)  # over an empty folder too
        for path in (new, old):
            if path.exists():
                shutil.rmtree(path)

    with held(lock, refusal):
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
            for path in (folder, *made):
                with contextlib.suppress(OSError):  # there is something in it
                    path.rmdir()


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
    found = {path.name: _is_ours(path) for path in folder.iterdir()}
    bundle = found.get(seen_runtime.FILES[0]) and found.get(seen_runtime.MANIFEST)
    others = [name for name, ours in found.items() if not (bundle and ours)]
    return f"one with {min(others)} in it" if others else ""


def _is_ours(path: Path) -> bool:
    """Whether it may be part of a bundle, or what its use leaves there.

    That is Python's folder, where the runtime was imported, and TensorRT's engines,
    which are of no use to another bundle.
    """
    if path.is_dir():
        return path.name == "__pycache__"
    known = (*seen_runtime.FILES, seen_runtime.MANIFEST)
    return path.name in known or path.suffix == ".engine"


def _check_ours(folder: Path) -> None:
    """Raises a ValueError unless all that is there was left by an export."""
    rule = f"{folder}: expected what a killed export leaves, got"
    if folder.is_symlink():
        raise UserError(f"{rule} a link; move it elsewhere")
    for path in folder.iterdir():
        kept = path.is_dir() and path.name in ("new", "old")
        if not all(map(_is_ours, path.iterdir())) if kept else path.name != "lock":
            raise UserError(
                f"{rule} {path.name} with something else; move it elsewhere"
            )
