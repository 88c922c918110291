"""Products in bfloat16: rounding by hand, gradients, and what a config may ask for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from seen_jax.models.folded import FoldedSEEN, network
from tests.models.test_folded import windows

from seen_jax.models.precision import bfloat16_product
from seen_jax.models.seen import SEEN
from tests.models.variables import draw


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


def test_values_and_gradients_are_those_of_rounded_operands():
    rng = np.random.default_rng(0)
    x, kernel, gradient = (
        rng.normal(size=shape).astype(np.float32)
        for shape in ((2, 5, 30), (30, 4), (2, 5, 4))
    )
    out, pull = jax.vjp(bfloat16_product, x, kernel)
    by_x, by_kernel = pull(gradient)
    assert out.dtype == by_x.dtype == by_kernel.dtype == np.float32
    exact = [rounded(a).astype(np.float64) for a in (x, kernel, gradient)]
    near = dict(rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(out, exact[0] @ exact[1], **near)
    np.testing.assert_allclose(by_x, exact[2] @ exact[1].T, **near)
    expected = np.einsum("btc,btd->cd", exact[0], exact[2])
    np.testing.assert_allclose(by_kernel, expected, **near)


def test_sums_are_not_rounded():
    # A sum kept in bfloat16 would stay at 256, where adding 1 changes nothing.
    assert bfloat16_product(jnp.ones((1, 1000)), jnp.ones((1000, 1))) == 1000


def test_a_network_of_rounded_operands():
    def emulated(x, kernel):
        return lax.reduce_precision(x, 8, 7) @ lax.reduce_precision(kernel, 8, 7)

    inputs, variables = small()
    got = jax.jit(network(precision="bfloat16").apply)(variables, **inputs)
    expected = jax.jit(FoldedSEEN(product=emulated).apply)(variables, **inputs)
    full = jax.jit(network().apply)(variables, **inputs)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(got - full).max() > 0.01


def small():
    inputs = jax.tree.map(lambda x: x.astype(jnp.float32), windows(22))
    return inputs, draw(SEEN(), inputs)


def test_which_products():
    inputs, variables = small()
    program = jax.make_jaxpr(network(precision="bfloat16").apply)(variables, **inputs)
    # Three stages of S, three of T, fc1 and fc2.
    assert sum(x == {np.dtype(jnp.bfloat16)} for x in dots(program.jaxpr)) == 8


def dots(jaxpr):
    """Types of the operands of each product of a program."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield {variable.aval.dtype for variable in equation.invars}
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from dots(inner)


def test_choices():
    assert type(network(precision="bfloat16")) is FoldedSEEN
    with pytest.raises(
        ValueError, match="precision: expected one of float32, bfloat16"
    ):
        network(precision="half")
    with pytest.raises(ValueError, match=r"expected float32 with .*'kernels': 'own'"):
        network(precision="bfloat16", kernels="own")


def test_products_in_full_where_a_device_would_round():
    inputs, variables = small()
    for model in (SEEN(), FoldedSEEN()):
        text = str(jax.make_jaxpr(model.apply)(variables, **inputs))
        assert "Precision.HIGHEST" in text
        assert "precision=None" not in text
