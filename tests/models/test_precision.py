"""Products in bfloat16 and in full float32: what they compute, by hand and by rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.models.fast.network import FastSEEN, network
from seen_jax.models.lif import LIF
from seen_jax.models.precision import bfloat16_product
from seen_jax.models.seen import SEEN
from tests.models.variables import whole, whole_windows


def rounded(x):
    """Rounds float32 to bfloat16, to nearest and even, by its bits."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    half = 0x7FFF + (bits >> 16 & 1)
    return ((bits + half) >> 16 << 16).astype(np.uint32).view(np.float32)


def test_rounding_by_hand():
    # bfloat16 has 8 significant bits: between 256 and 512 the even numbers.
    x = jnp.array([[257.0, 259.0, 1.0]])
    kernel = jnp.array([[1.0], [1.0], [1 + 2**-8]])
    # 257 is halfway and goes to 256, 259 to 260; 1 + 1/256 is halfway and goes to 1.
    assert bfloat16_product(x, kernel) == 256 + 260 + 1


def products(x, kernel, gradient):
    out, pull = jax.vjp(bfloat16_product, *map(jnp.float32, (x, kernel)))
    return out, *pull(jnp.float32(gradient))


def exact(x, kernel, gradient):
    """The product and its gradients in float64."""
    x, kernel, gradient = (np.float64(a) for a in (x, kernel, gradient))
    by_kernel = np.einsum("btc,btd->cd", x, gradient)
    return x @ kernel, gradient @ kernel.T, by_kernel


SHAPES = (2, 5, 30), (30, 4), (2, 5, 4)


def test_whole_numbers_up_to_256_are_exact():
    rng = np.random.default_rng(0)
    operands = [rng.integers(-256, 257, shape) for shape in SHAPES]
    for got, expected in zip(products(*operands), exact(*operands), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, expected)  # sums are below 2**24


def test_other_operands_are_rounded_and_sums_are_not():
    rng = np.random.default_rng(0)
    operands = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
    near = exact(*map(rounded, operands))
    for got, expected in zip(products(*operands), near, strict=True):
        # Up to 30 additions of terms of about 1 are off by less than 1e-4 in float32.
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
    # A sum kept in bfloat16 would stay at 256, where adding 1 changes nothing.
    assert bfloat16_product(jnp.ones((1, 1000)), jnp.ones((1000, 1))) == 1000


# A membrane is the current: 1 does not fire, 1 + 2**-10 does, 2 does.
EDGE = LIF(decay=0.0, threshold=1 + 2**-11)


@pytest.fixture(scope="module")
def small():
    inputs = whole_windows(22)
    variables = whole(SEEN(), inputs, num_inputs=12, choose_scale=True)
    # This bias is multiplied by conv1_cat as a weight, in float32, not as an operand.
    variables["params"]["conv1_f2"]["bias"] *= 0
    return inputs, variables


@pytest.fixture(scope="module")
def logits(small):
    """Variables -> logits, in each precision."""

    def run(precision):
        model = network(precision, neuron=EDGE)
        return jax.jit(lambda variables: model.apply(variables, **small[0]))

    return {precision: run(precision) for precision in ("float32", "bfloat16")}


def test_a_network_of_whole_numbers_is_the_same_in_both(small, logits):
    got, full = logits["bfloat16"](small[1]), logits["float32"](small[1])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, full)
    assert len(np.unique(full, axis=0)) == 4, "the windows look alike"


@pytest.mark.parametrize(
    "layer",  # but for the two scales that the attention leaves out
    ["conv0", "conv1_f2", "conv1_cat", "conv2_f2", "conv3_f2", "fc1", "fc2"],
)
def test_every_kernel_is_rounded(small, logits, layer):
    # 1 + 2**-10 of a whole number below 256 rounds back to it. Where it does not, any
    # membrane of 1 fires that should not.
    params = small[1]["params"]
    kernel = params[layer]["kernel"] * (1 + 2**-10)
    params = {**params, layer: {**params[layer], "kernel": kernel}}
    changed = {**small[1], "params": params}
    same = logits["bfloat16"](small[1])
    np.testing.assert_array_equal(logits["bfloat16"](changed), same)
    assert (np.asarray(logits["float32"](changed)) != same).any()


@pytest.mark.parametrize("model", [SEEN(), FastSEEN()], ids=["plain", "fast"])
def test_no_product_takes_a_default_that_rounds(small, model):
    # A CPU refuses this precision, so a product that takes the default cannot run.
    with jax.default_matmul_precision("TF32_TF32_F32"):
        with pytest.raises(ValueError, match="TF32"):
            jnp.ones((8, 8)) @ jnp.ones((8, 8))
        logits = jax.jit(lambda v: model.apply(v, **small[0]))(small[1])
    assert np.isfinite(logits).all()
