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


def test_nothing_before_fc1_has_a_backward_pass_in_the_temporal_branch():
    def macs_of_gradient(num_event_frames):
        model, variables, inputs = published(num_event_frames)

        def total(params, stats, inputs):
            return model.apply({"params": params, **stats}, **inputs).sum()

        stats = {"batch_stats": variables["batch_stats"]}
        return count_macs(jax.grad(total), variables["params"], stats, inputs)

    # One event frame more costs its convolutions once, and fc1 and fc2 thrice: the
    # forward pass, the gradient by the input and the gradient by the weights.
    pixels = {"first": 45 * 45, "second": 23 * 23, "third": 6 * 6}
    convolutions = (
        pixels["first"] * 64 * (3 * (3 * 3 + 5 * 5 + 7 * 7) + 192)
        + pixels["second"] * 256 * 64 * 9
        + pixels["third"] * 512 * 256 * 9
    )
    dense = 18432 * 256 + 256 * 7
    assert macs_of_gradient(5) - macs_of_gradient(4) == convolutions + 3 * dense


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


def test_all_branches_of_a_cond_count():
    def fn(x):
        return jax.lax.cond(x.sum() > 0, lambda: x @ x, lambda: x @ (x @ x))

    assert count_macs(fn, jnp.zeros((2, 2))) == 3 * 8


def test_neurons_need_no_products():
    assert count_macs(LIF(), jnp.zeros((2, 3, 4))) == 0
