"""The kernel in C on aarch64, the Jetson's processor, which QEMU plays: as it is here.

apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import COUNTS, Kernel
from tests import golden
from tests.runtime.bundles import KERNEL, whole_logits

COMPILER, QEMU = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
ABSENT = [x for x in ("cc", COMPILER, QEMU) if shutil.which(x) is None]
pytestmark = [
    pytest.mark.environments,
    pytest.mark.skipif(bool(ABSENT), reason=f"no {', '.join(ABSENT)}"),
]
BACKGROUND = 0.25


def on_the_board(folder, kernel, inputs, *flags):
    """Compiles and runs there: (logits, spikes) of both forms, fast and plain."""
    program, source = folder / "alone", Path(__file__).with_name("alone.c")
    command = [COMPILER, "-O3", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-static"]
    command += [*flags, f"-I{KERNEL.parent}", source, "-o", program, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    arrays = kernel._kept
    counts = np.array([x.size for x in arrays], np.uint64)
    windows = [x for window in zip(*inputs, strict=True) for x in window]
    parts = [bytes(kernel._header), *(x.tobytes() for x in (counts, *arrays, *windows))]
    done = subprocess.run([QEMU, program], input=b"".join(parts), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    logits = "logits", arrays[0].dtype, (kernel.num_classes,)
    spikes = "spikes", np.uint64, (len(COUNTS),)
    results = np.frombuffer(done.stdout, np.dtype([logits, spikes])).reshape(-1, 2)
    assert len(results) == len(inputs[0])
    return [(x["logits"], x["spikes"]) for x in results.T]


def assert_same(kernel, inputs, results, atol):
    logits, spikes = kernel(*inputs)
    assert spikes.all()
    for got, got_spikes in results:
        np.testing.assert_array_equal(got_spikes, spikes)
        np.testing.assert_allclose(got, logits, rtol=0, atol=atol)


def test_float64(tmp_path):
    rng, flag = np.random.default_rng(0), "-DREAL=double"
    inputs = [rng.normal(size=(2, n, 90, 90)) for n in (4, 2)]
    few = inputs[0][1, 1:]  # frames with few events; the other three decide
    few[rng.random(few.shape) < 0.9] = BACKGROUND
    assert 2 * (inputs[0][1] != BACKGROUND).sum() < inputs[0][1].size
    library = seen_runtime.compile_kernel(KERNEL, flag)
    folded = seen_runtime.fold(golden.state_dict(), np.float64)
    kernel = Kernel(library, folded, 4)
    results = on_the_board(tmp_path, kernel, inputs, flag)
    assert_same(kernel, inputs, results, 1e-12)


def test_float32_where_no_rounding_decides(tmp_path, folded):
    _, expected, inputs = whole_logits()
    kernel = Kernel(seen_runtime.compile_kernel(KERNEL), folded, 4)
    results = on_the_board(tmp_path, kernel, inputs)
    assert_same(kernel, inputs, results, 1e-5)
    for logits, _ in results:
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
