"""The kernel in C inside JAX: its products, its threads, and where there is none."""

import ctypes
import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seen_jax.models.fast import native
from seen_jax.models.fast.geometry import make_grid
from seen_jax.models.fast.network import FastSEEN, network, program
from seen_jax.models.layers import convolve
from seen_jax.models.lif import LIF
from seen_jax.models.seen import SEEN
from seen_jax.runtime import seen_runtime
from seen_jax.training.optimizer import sgd
from tests.helpers import python
from tests.models.variables import draw, windows
from tests.runtime.bundles import KERNEL

needs_compiler = pytest.mark.skipif(
    not native.is_available(), reason="no C compiler, or JAX is not on a CPU"
)


def spikes(seed, *shape, share=0.1):
    return (np.random.default_rng(seed).random(shape) < share).astype(np.float64)


@needs_compiler
@pytest.mark.parametrize(
    "share, num, channels", [(0.0, 512, 256), (0.02, 512, 256), (1.0, 130, 128)]
)
def test_sum_of_rows_is_the_product_and_its_gradients(share, num, channels):
    with jax.enable_x64(True):
        own, shared = spikes(0, 3, 4, num, share=share), spikes(1, 3, num)
        kernel, gradient = (
            np.random.default_rng(2).normal(size=shape)
            for shape in ((num, channels), (3, 4, channels))
        )
        x, vjp = jax.vjp(jax.jit(native.sum_rows), own, shared, kernel)
        together = own + shared[:, None]
        np.testing.assert_allclose(x, together @ kernel, rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            native.product(own[:, :, None], kernel)[:, :, 0], own @ kernel, atol=1e-12
        )
        by_own, by_shared, by_kernel = vjp(jnp.asarray(gradient))
        back = gradient @ kernel.T
        np.testing.assert_allclose(by_own, back, rtol=0, atol=1e-11)
        np.testing.assert_allclose(by_shared, back.sum(1), rtol=0, atol=1e-11)
        expected = np.einsum("btn,btd->nd", together, gradient)
        np.testing.assert_allclose(by_kernel, expected, rtol=0, atol=1e-12)


def draw_spatial(size, batch, num_frames):
    """Frames, attention, first stage by scale (3 x 3, 5 x 5, 7 x 7), conv2, conv3."""
    normal = np.random.default_rng(size).normal
    first = normal(size=(3, 7, 7, num_frames, 64))
    first[0, [0, 1, 5, 6]] = first[0, :, [0, 1, 5, 6]] = 0
    first[1, [0, 6]] = first[1, :, [0, 6]] = 0
    frames, weights = (
        normal(size=(batch, num_frames, size, size)),
        normal(size=(batch, 3)),
    )
    deep = normal(size=(3, 3, 64, 256)), normal(size=(3, 3, 256, 512))
    return frames, weights, first.reshape(3, 49, num_frames, 64), *deep


def by_layers(frames, weights, first, kernel2, kernel3):
    images = jnp.moveaxis(frames, 1, -1)
    first = jnp.where(first == 0, 0, first)  # what pads a scale learns nothing
    kernels = first.reshape(3, 7, 7, -1, 64)
    scales = [convolve(images, kernel, 2) for kernel in kernels]
    x = sum(weights[:, i, None, None, None] * scale for i, scale in enumerate(scales))
    return convolve(convolve(x, kernel2, 2), kernel3, 4)


@needs_compiler
@pytest.mark.parametrize(
    "size, batch, num_frames", [(16, 1, 1), (24, 3, 2), (45, 2, 4), (90, 2, 2)]
)
def test_spatial_is_the_convolutions_and_their_gradients(size, batch, num_frames):
    with jax.enable_x64(True):
        frames, *arrays = draw_spatial(size, batch, num_frames)

        def run(fn):
            x, vjp = jax.vjp(jax.jit(partial(fn, frames)), *arrays)
            gradient = np.random.default_rng(0).normal(size=x.shape)
            return x, *vjp(jnp.asarray(gradient))

        for got, expected in zip(run(native.spatial), run(by_layers), strict=True):
            assert got.shape == expected.shape
            largest = float(jnp.abs(expected).max())
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * largest)


@needs_compiler
def test_gradients_do_not_depend_on_the_threads(monkeypatch):
    frames, *arrays = (x.astype(np.float32) for x in draw_spatial(24, 3, 2))

    def run(threads):
        monkeypatch.setattr(native, "num_threads", lambda: threads)
        x, vjp = jax.vjp(partial(native.spatial, frames), *arrays)
        return [np.asarray(y) for y in (x, *vjp(x))]

    for got, expected in zip(run(3), run(1), strict=True):
        np.testing.assert_array_equal(got, expected)


@needs_compiler
def test_results_do_not_depend_on_the_threads(monkeypatch):
    """Float32, to the bit; batches of 1 and 3 read conv3_f2 packed otherwise than 5."""
    inputs = {name: x.astype(np.float32) for name, x in windows(24, 5).items()}
    model = FastSEEN(one_by_one=True, follow_spikes=True)
    variables = draw(SEEN(), inputs)

    def run(threads, batch):
        monkeypatch.setattr(native, "num_threads", lambda: threads)
        part = jax.tree.map(lambda x: x[:batch], inputs)
        return np.asarray(jax.jit(model.apply)(variables, **part))

    whole = run(1, 5)
    for threads, batch in ((2, 5), (7, 5), (2, 3), (2, 1)):
        np.testing.assert_array_equal(run(threads, batch), whole[:batch])


@needs_compiler
def test_what_fits_is_what_the_kernel_takes():
    library = seen_runtime.compile_kernel(KERNEL)
    library.seen_scratch_bytes.restype = ctypes.c_size_t
    for size in range(1, 200):
        header = seen_runtime._Header(3, 4, size, 4, 2, 7, 0, 0, 0.2, 0.3)
        takes = library.seen_scratch_bytes(ctypes.byref(header)) > 0
        assert native.has_images(make_grid(size), "float32") == takes, size
        assert takes or size not in (16, 24, 45, 90, 170)
    assert not native.has_images(make_grid(90), "bfloat16")


@needs_compiler
def test_a_neuron_that_fires_from_nothing_is_an_error():
    inputs = {name: x.astype(np.float32) for name, x in windows(24).items()}
    model = FastSEEN(neuron=LIF(threshold=-1.0), follow_spikes=True)
    variables = draw(SEEN(), inputs)
    with pytest.raises(Exception, match="a neuron would fire without a current"):
        model.apply(variables, **inputs).block_until_ready()


SANITIZED = """
import jax
import numpy as np
from seen_jax.models.fast import native, network
from seen_jax.models.fast.network import FastSEEN
from seen_jax.models.seen import SEEN
from tests.models.variables import draw, windows

network.COMPOSE_FROM = 2  # examples
flags = "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"
native.FLAGS = {name: (*x, *flags) for name, x in native.FLAGS.items()}
for size, batch, kernels in ((24, 5, "own"), (90, 2, "copied"), (45, 1, "copied")):
    inputs = {name: x.astype(np.float32) for name, x in windows(size, batch).items()}
    variables = draw(SEEN(kernels=kernels), inputs)
    model = FastSEEN(one_by_one=True, follow_spikes=True, kernels=kernels)

    def loss(params):
        now = {**variables, "params": params}
        return model.apply(now, **inputs, train=True, mutable=["batch_stats"])[0].sum()

    print(size, jax.jit(jax.grad(loss))(variables["params"])["fc1"]["kernel"].any())
"""


@needs_compiler
@pytest.mark.environments
def test_sanitizers_have_nothing_to_say():
    names = "libasan.so", "libstdc++.so"  # JAX throws, which the first one intercepts
    libraries = [
        subprocess.run(
            ["cc", f"-print-file-name={name}"], capture_output=True, text=True
        ).stdout.strip()
        for name in names
    ]
    if not all(map(os.path.isabs, libraries)):
        pytest.skip("the compiler has no sanitizers")
    env = {**os.environ, "LD_PRELOAD": " ".join(libraries), "JAX_PLATFORMS": "cpu"}
    env["ASAN_OPTIONS"] = "detect_leaks=0"  # Python's own are none of ours
    command = [sys.executable, "-c", SANITIZED]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "24 True\n90 True\n45 True\n"


WITHOUT = """
import jax
from seen_jax.models.fast.network import network, program
print(program(network()), "|", program(network()))
"""


def test_without_a_compiler_it_says_so_once():
    done = python("-c", WITHOUT, CC="no-such-cc")
    assert done.stdout == "XLA | XLA\n", done.stderr
    assert done.stderr.count("no kernel in C: no-such-cc is not installed") == 1


def test_which_program_computes():
    for model in (SEEN(), network("bfloat16")):
        assert program(model) == "XLA"
    expected = "XLA and the kernel in C" if native.is_available() else "XLA"
    assert program(network()) == expected


@needs_compiler
def test_what_is_settled_takes_the_memory_of_what_was_given():
    given = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(5)}
    places = [x.unsafe_buffer_pointer() for x in jax.tree.leaves(given)]
    settled = jax.jit(native.settled, donate_argnums=0)(given)
    assert [x.unsafe_buffer_pointer() for x in jax.tree.leaves(settled)] == places
    np.testing.assert_array_equal(settled["a"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(settled["b"], [1, 1, 1, 1, 1])


@needs_compiler
def test_arrays_of_other_sizes_are_refused():
    lif3, j_s, kernel = np.ones((3, 2, 512)), np.ones((3, 512)), np.ones((512, 16))
    with pytest.raises(Exception, match="arrays of other sizes"):
        native.sum_rows(*(jnp.asarray(x, np.float32) for x in (lif3, j_s, kernel)))


@needs_compiler
def test_any_number_of_arrays_of_any_size_is_settled():
    given = [jnp.full((i % 3 + 1,), float(i)) for i in range(300)]
    given.append(jnp.ones((1, 1, 1 << 17)))
    for got, expected in zip(jax.jit(native.settled)(given), given, strict=True):
        np.testing.assert_array_equal(got, expected)


@needs_compiler
def test_the_optimiser_gives_the_same_bits_without_the_kernel(monkeypatch):
    rng = np.random.default_rng(0)
    params, gradients = (
        {x: jnp.asarray(rng.normal(size=(40, 30)), jnp.float32) for x in "ab"}
        for _ in range(2)
    )
    optimizer = sgd(0.01, momentum=0.9, weight_decay=1e-3)

    def train(params, gradients):
        state = optimizer.init(params)
        for _ in range(3):
            updates, state = optimizer.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    with_kernel = jax.jit(train)(params, gradients)
    monkeypatch.setattr(native, "is_available", lambda: False)
    without = jax.jit(lambda *given: train(*given))(params, gradients)
    jax.tree.map(np.testing.assert_array_equal, with_kernel, without)
