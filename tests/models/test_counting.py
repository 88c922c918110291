import jax
import jax.numpy as jnp
import pytest

from seen_jax.models.counting import count_macs, count_parameters
from seen_jax.models.lif import LIF
from seen_jax.models.seen import SEEN


def published(num_event_frames):
    model = SEEN()
    inputs = {
        "event_frames": jax.ShapeDtypeStruct(
            (1, num_event_frames, 90, 90), jnp.float32
        ),
        "intensity_frames": jax.ShapeDtypeStruct((1, 2, 90, 90), jnp.float32),
    }
    variables = jax.eval_shape(model.init, jax.random.key(0), **inputs)
    return model, variables, inputs


def test_published_number_of_parameters():
    assert count_parameters(published(4)[1]) == 6_078_655


@pytest.mark.parametrize(
    "num_event_frames, giga_macs", [(4, 0.907), (7, 1.454), (13, 2.548)]
)
def test_published_number_of_macs(num_event_frames, giga_macs):
    model, variables, inputs = published(num_event_frames)
    macs = count_macs(lambda v, x: model.apply(v, **x), variables, inputs)
    assert round(macs / 1e9, 3) == giga_macs


def test_macs_by_hand():
    def fn(x, kernel, matrix):
        # 5 x 5 outputs of 4 features from 3 x 3 x 2 inputs: 25 * 4 * 18 = 1800
        y = jax.lax.conv(x, kernel, (1, 1), "SAME")
        # 4 x 25 by 25 x 6: 600; jitted, and once per step of a scan of 3
        product = jax.jit(lambda a: a.reshape(4, 25) @ matrix)
        return jax.lax.scan(lambda c, _: (c, product(y).sum()), 0.0, None, length=3)

    shapes = [(1, 2, 5, 5), (4, 2, 3, 3), (25, 6)]
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    assert count_macs(fn, *arguments) == 1800 + 3 * 600


def test_neurons_need_no_products():
    assert count_macs(LIF(), jnp.zeros((2, 3, 4))) == 0
