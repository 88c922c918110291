"""Memory that this process frees is kept for its next use."""

from __future__ import annotations

import ctypes
import platform

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_freed() -> None:
    """Makes glibc keep freed memory for reuse; does nothing with another C library.

    XLA takes the memory of a CPU step again each time, 48 MB for a batch of 32, and
    by default glibc gives such large pieces back to the system, which then clears them
    page by page: a fifth of a step's processor time. So nothing is mapped on its own or
    given back, and there is one heap, since others cannot hold pieces of 64 MB.

    Note: call it before threads are started, which would have heaps by then.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)
