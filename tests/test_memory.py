"""What is freed is not cleared by the system and taken again, where glibc is there."""

import platform

import pytest

from tests.helpers import python

FAULTS = """
import resource
import sys
import threading
import numpy as np
from seen_jax import memory

if "keep" in sys.argv:
    memory.keep_freed()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(20_000_000, np.float32)  # 80 MB, freed at once
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

for _ in range(2):  # from a thread, as in XLA; the first time it is new in any case
    thread = threading.Thread(target=faults)
    thread.start()
    thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_what_is_freed_is_kept():
    def run(*options):
        return int(python("-c", FAULTS, *options).stdout.split()[1])

    # Five times 80 MB, in pages of 4 kB to 2 MB.
    assert run("keep") < run() / 5
