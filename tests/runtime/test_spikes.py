"""The kernel in C: fast against plain, both against other programs, and its limits."""

import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from seen_jax.export.convert import torch_from_variables
from seen_jax.models.lif import LIF
from seen_jax.models.seen import READOUTS, SEEN
from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import COUNTS, LAYERS, Kernel
from tests import golden
from tests.models import variables
from tests.runtime.bundles import KERNEL, whole_logits

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
DOUBLE = "-DREAL=double"
BACKGROUND = 0.25
# Vectors of 64, 32 and 16 bytes, as far as this processor has them. The first is the
# library that users get; the others compile thrice as fast with -O1.
WIDTHS = [(), ("-O1", "-mno-avx512f"), ("-O1", "-mno-avx")]
WIDTHS = WIDTHS if platform.machine() == "x86_64" else WIDTHS[:1]


@pytest.fixture(scope="module")
def float64():
    return seen_runtime.compile_kernel(KERNEL, DOUBLE)


@pytest.fixture(scope="module")
def published():
    """Arrays of the golden weights in float64, with which every layer fires."""
    return seen_runtime.fold(golden.state_dict(), np.float64)


def windows(num_event_frames=4, num_intensities=2, share=1.0, seed=0):
    """One window of noise; of the events' pixels, a share is not background."""
    rng = np.random.default_rng(seed)
    events = rng.normal(size=(1, num_event_frames, 90, 90))
    events[rng.random(events.shape) >= share] = BACKGROUND
    return events, rng.normal(size=(1, num_intensities, 90, 90))


def assert_forms_agree(kernel, inputs, atol=1e-12):
    logits, counts = kernel(*inputs)
    expected, expected_counts = kernel(*inputs, plain=True)
    np.testing.assert_array_equal(counts, expected_counts)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=atol)
    return logits, dict(zip(COUNTS, counts[0].tolist(), strict=True))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.45, 1.0])
@pytest.mark.parametrize("flags", WIDTHS, ids=str)
def test_fast_and_plain_agree(published, share, flags):
    library = seen_runtime.compile_kernel(KERNEL, DOUBLE, *flags)
    inputs = windows(share=share)
    _, spikes = assert_forms_agree(Kernel(library, published, 4), inputs)
    assert all(spikes[layer] for layer in LAYERS)


def test_frames_of_both_kinds_in_one_window(float64, published):
    events, intensities = windows()
    events[:, [0, 2, 3]] = windows(share=0.02)[0][:, [0, 2, 3]]  # what most pixels are
    assert 2 * (events != BACKGROUND).sum() < events.size
    kernel = Kernel(float64, published, 4)
    assert_forms_agree(kernel, (events, intensities))


@pytest.mark.parametrize("flags", WIDTHS, ids=str)
def test_float32_where_no_rounding_decides(folded, flags):
    library = seen_runtime.compile_kernel(KERNEL, *flags)
    _, expected, inputs = whole_logits()
    kernel = Kernel(library, folded, 4)
    for i in range(2):
        logits, _ = assert_forms_agree(kernel, [x[i : i + 1] for x in inputs], 1e-6)
        np.testing.assert_allclose(logits, expected[i : i + 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options, num_event_frames, neuron",
    [
        ({"intensity": "first_and_last"}, 4, {}),
        ({"intensity": "first", "num_classes": 3}, 1, {}),
        ({"intensity": "all"}, 3, {"decay": 0.5, "threshold": 0.75}),
        *(({"readout": readout}, 2, {"decay": 0.9}) for readout in READOUTS),
        ({"kernels": "own"}, 2, {}),
        ({"attention": "own"}, 2, {}),
        ({"attention": "own", "kernels": "own", "intensity": "first"}, 2, {}),
    ],
)
def test_it_is_the_plain_network(float64, options, num_event_frames, neuron):
    model = SEEN(neuron=LIF(**neuron), **options)
    intensity = options.get("intensity", "first_and_last")
    inputs = variables.windows(90, 1, num_event_frames, intensity)
    inputs = {name: np.asarray(x, np.float64) for name, x in inputs.items()}
    with jax.enable_x64(True):
        weights = variables.draw(model, inputs)
        expected = model.apply(weights, **inputs)
    folded = seen_runtime.fold(torch_from_variables(weights), np.float64)
    readout = {"readout": options["readout"]} if "readout" in options else {}
    kernel = Kernel(float64, folded, num_event_frames, **neuron, **readout)
    logits, counts = kernel(*inputs.values())
    np.testing.assert_allclose(logits, expected, rtol=1e-10, atol=1e-10)
    assert all(counts[0, : LAYERS.index("LIF5")])
    if "attention" in options:  # whose kernels differ from frame to frame
        assert_forms_agree(kernel, [*inputs.values()])


def test_several_threads_may_call_it(float64, published):
    kernel, inputs = Kernel(float64, published, 4), [windows(seed=i) for i in range(4)]
    expected = [kernel(*x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for got, other in zip(
                pool.map(lambda x: kernel(*x), inputs), expected, strict=True
            ):
                jax.tree.map(np.testing.assert_array_equal, got, other)


def test_readouts_have_the_names_of_a_config():
    assert set(seen_runtime.READOUTS) == set(READOUTS)


def test_spikes_are_counted_where_they_are_read(float64, published):
    # With a threshold of 0 and a bias, all that can fire does: 39 x 39 of LIF1's
    # places, 17 x 17 of LIF2's, and all of the others.
    arrays = {name: np.zeros_like(x) for name, x in published.items()}
    for name in ("event", "conv2", "conv3", "deep_bias", "fc1_bias", "fc2_bias"):
        arrays[name] += 1
    kernel = Kernel(float64, arrays, 2, threshold=0.0)
    inputs = [np.ones((1, 2, 90, 90))] * 2
    _, counts = assert_forms_agree(kernel, inputs)
    sizes = 36 * 512, 39**2 * 64, 17**2 * 256, 36 * 512, 256, 7
    each = [
        size * (1 if layer == "J_s" else 2)
        for layer, size in zip(LAYERS, sizes, strict=True)
    ]
    # 17 rows of LIF2 read 3 rows of LIF1 each, the first one 2; no row of LIF2 is read
    # twice; fc1 adds what J_s sends once.
    conv2, conv3, fc1 = (3 * 17 - 1) ** 2 * 64 * 256, 17**2 * 256 * 512, 36 * 512 * 256
    operations = 2 * (conv2 + conv3 + fc1 + 256 * 7) + fc1
    assert counts == dict(zip(COUNTS, [*each, operations], strict=True))


SANITIZED = """
import sys
import numpy as np
from seen_jax.runtime import seen_runtime
from tests import golden

folded = seen_runtime.fold(golden.state_dict(), np.float64)
library = seen_runtime.compile_kernel(*sys.argv[1:])
rng = np.random.default_rng(0)
noise, other = (rng.normal(size=(1, n, 90, 90)) for n in (2, 2))
cases = [(x, 1.0) for x in (noise, np.full_like(noise, 0.5), np.full_like(noise, 1e30))]
cases += [(noise, scale) for scale in (0.0, 1e300, 1e-310)]
for events, scale in cases:
    arrays = {name: x * scale for name, x in folded.items()}
    kernel = seen_runtime.Kernel(library, arrays, 2)
    with np.errstate(all="ignore"):
        logits, counts = kernel(events, other)
        if "-mno-avx512f" not in sys.argv:  # the plain form has no vectors
            logits, counts = kernel(events, other, plain=True)
    print(scale, counts.tolist())
"""


@pytest.mark.parametrize("flags", WIDTHS[:2], ids=str)
def test_sanitizers_have_nothing_to_say(flags):
    runtime = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True
    ).stdout.strip()
    if not os.path.isabs(runtime):
        pytest.skip("the compiler has no sanitizers")
    options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
    # Python's own leaks are none of ours.
    env = {**os.environ, "LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    command = [sys.executable, "-c", SANITIZED, str(KERNEL), DOUBLE, *options, *flags]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 6


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of this process, and a quick compiler."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(seen_runtime, "_LIBRARIES", {})
    monkeypatch.setattr(seen_runtime, "COMPILE", ("-O0", "-shared", "-fPIC"))
    return tmp_path / "seen"


# As this process does, in another one.
COMPILING = """
import sys
from seen_jax.runtime import seen_runtime
seen_runtime.COMPILE = "-O0", "-shared", "-fPIC"
seen_runtime.compile_kernel(sys.argv[1])
"""
COMPILING = [sys.executable, "-c", COMPILING, str(KERNEL)]


def test_it_is_compiled_once(cache, monkeypatch):
    seen_runtime.compile_kernel(KERNEL)
    (library,) = cache.iterdir()
    written = library.stat().st_mtime_ns
    monkeypatch.setattr(seen_runtime, "_LIBRARIES", {})
    seen_runtime.compile_kernel(KERNEL)
    assert [library] == list(cache.iterdir())
    assert library.stat().st_mtime_ns == written
    seen_runtime.compile_kernel(KERNEL, DOUBLE)  # another one
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_library_is_compiled_again(cache):
    # By another process: what this one has loaded it would take again.
    subprocess.run(COMPILING, check=True)
    (library,) = cache.iterdir()
    whole = library.read_bytes()
    library.write_bytes(whole[:1000])
    assert seen_runtime.compile_kernel(KERNEL).seen_check
    (library,) = cache.iterdir()
    assert library.stat().st_size == len(whole)


def test_a_cache_that_cannot_be_used_is_done_without(cache, capsys):
    seen_runtime._say_once.cache_clear()
    cache.mkdir(mode=0o777)
    cache.chmod(0o777)  # others could put a library there
    assert seen_runtime.compile_kernel(KERNEL).seen_check
    assert not list(cache.iterdir())
    said = capsys.readouterr().err
    assert said == (
        f"the kernel is compiled at every start: {cache} can be written by others; set "
        "XDG_CACHE_HOME\n"
    )


def test_two_processes_at_once(cache):
    for process in [subprocess.Popen(COMPILING) for _ in range(2)]:
        assert process.wait() == 0
    assert len(list(cache.iterdir())) == 1


def test_a_full_disk_leaves_nothing(cache, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(seen_runtime.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            seen_runtime.compile_kernel(KERNEL)
    assert not list(cache.iterdir())
    seen_runtime.compile_kernel(KERNEL)  # when there is room again


def test_compilers_that_are_not_there_or_fail(cache, monkeypatch):
    for compiler, words in (
        ("no-such-cc", "no-such-cc is not installed"),
        ("false", "false failed"),
        ('gcc "', "No closing"),
    ):
        monkeypatch.setenv("CC", compiler)
        with pytest.raises(OSError, match=words):
            seen_runtime.compile_kernel(KERNEL)
    assert not cache.exists() or not list(cache.iterdir())
