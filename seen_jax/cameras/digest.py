"""The SHA-256 beside a file: FILE.sha256, as `sha256sum --check` reads it.

A bag of ROS 2 is a folder; its SHA-256 is that of the lines that `sha256sum` prints for
its files, by name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from seen_jax.errors import refuse
from seen_jax.files import RECOPY, put_in_place, read_text, write_whole


def of(path: Path) -> str:
    """Returns the SHA-256 of a file or a bag's folder in hexadecimal digits."""
    if is_bag_folder(path):
        lines = [f"{of(x)}  {x.name}\n" for x in files_of(path)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_bag_folder(path: Path) -> bool:
    """Tells whether a path is the folder of a bag of ROS 2."""
    return (path / "metadata.yaml").is_file()


def files_of(path: Path) -> list[Path]:
    """Returns a file itself, or the files of a bag's folder, by name."""
    return sorted(x for x in path.iterdir() if x.is_file()) if path.is_dir() else [path]


def beside(path: Path) -> Path:
    """Returns where the digest of a file is."""
    return path.with_name(f"{path.name}.sha256")


def replace(part: Path, path: Path) -> None:
    """Moves a finished file to its place and writes its digest beside it.

    A process that is killed in between leaves the file without a digest, never with
    that of another one.
    """
    text = f"{of(part)}  {path.name}\n"
    beside(path).unlink(missing_ok=True)
    put_in_place(part, path)
    write_whole(beside(path), text)


def check(path: Path) -> None:
    """Raises a `UserError` if a file does not match the digest beside it."""
    name = beside(path).name
    if beside(path).exists():
        words = read_text(beside(path)).split()
        if words[:1] != [sha256 := of(path)]:
            remedy = f"{RECOPY}, or remove {name} if it was changed on purpose"
            refuse(path, f"a file of the SHA-256 in {name}", sha256, remedy)
