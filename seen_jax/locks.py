"""The one place that holds files against other processes.

What a reader would get wrong: a hold ends with its process, however that ends, so no
file that is left behind locks anyone out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path, refusal: Exception | None = None) -> Iterator[None]:
    """Holds a file while the block lasts.

    Args:
      path: a file that is there; its content is left alone.
      refusal: raised where another holds it, or has just removed it; with None, this
        waits until it may.

    Raises:
      OSError: the file cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "r+"))  # as NFS wants for a lock
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                raise FileNotFoundError(path)  # its holder removed it, and another came
        except (BlockingIOError, FileNotFoundError) as error:
            raise refusal or error from error
        yield
