"""Variables and inputs for tests, without the time that compiling `init` takes."""

import jax
import jax.numpy as jnp
import numpy as np

from seen_jax.data.windows import intensity_places

MASK = np.array([True, True, False, True])  # of a batch of four


def windows(size, batch=4, num_event_frames=2, intensity="first_and_last"):
    """Normal random inputs, in float64 where x64 is on."""
    rng = np.random.default_rng(0)
    counts = {
        "event_frames": num_event_frames,
        "intensity_frames": len(intensity_places(intensity, num_event_frames)),
    }
    return {
        name: jnp.asarray(rng.normal(size=(batch, count, size, size)))
        for name, count in counts.items()
    }


def draw(model, inputs, scale=3.0):
    """Draws weights and biases, `scale` times the initial ones so that all layers fire.

    Args:
      model: a module that is called as `SEEN` is.
      inputs: arrays by name, or their shapes.
      scale: factor of the initial range of weights.
    """
    rng = np.random.default_rng(0)

    def leaf(path, x):
        limit = scale / np.sqrt(np.prod(x.shape[:-1]))
        return rng.uniform(-limit, limit, x.shape)

    return _fill(model, inputs, leaf)


def whole(model, inputs, num_inputs=3, choose_scale=False):
    """Draws weights of -1, 0 and 1, for inputs of -1, 0 and 1 (`whole_windows`).

    Every current is then a whole number, or a third of one where the three scales weigh
    1/3, so that float32 adds it up to 1e-5 in any order. After the published decay of
    1/5, thrice, a membrane of four steps is a multiple of 1/375, and 0.0013 or more
    from the threshold of 0.3 = 112.5/375: rounding cannot decide who fires.

    Args:
      num_inputs: inputs that a neuron reads on average, of weight -1 or 1.
      choose_scale: the first scale weighs exactly 1, the others 0.
    """
    rng = np.random.default_rng(0)

    def leaf(path, x):
        if "score" in path:
            chosen = choose_scale and path[-1] == "bias" and "mlp_f1" not in path
            return np.full(x.shape, -1000.0 if chosen else 0.0)
        share = 0.5 if x.ndim < 2 else min(0.5, num_inputs / np.prod(x.shape[:-1]))
        return rng.choice([-1, 0, 1], x.shape, p=[share / 2, 1 - share, share / 2])

    return _fill(model, inputs, leaf)


def whole_windows(size, batch=4, num_event_frames=4):
    """Random inputs of -1, 0 and 1, for `whole`."""
    rng = np.random.default_rng(0)
    counts = {"event_frames": num_event_frames, "intensity_frames": 2}
    return {
        name: jnp.asarray(rng.choice([-1.0, 0.0, 1.0], (batch, count, size, size)))
        for name, count in counts.items()
    }


def _fill(model, inputs, draw_leaf):
    """Returns variables of the model's shapes; BatchNorm's are the initial ones."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), **inputs)

    def leaf(path, x):
        path = [entry.key for entry in path]
        if path[-1] in ("mean", "num_batches"):
            return jnp.zeros(x.shape, x.dtype)
        if path[-1] in ("scale", "var"):
            return jnp.ones(x.shape, x.dtype)
        return jnp.asarray(draw_leaf(path, x), x.dtype)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def learn(variables, inputs, mask, model):
    """Returns logits, new statistics, and the gradient of the unmasked examples."""

    def loss(params):
        how = {"train": True, "mask": mask, "mutable": ["batch_stats"]}
        logits, updates = model.apply({**variables, "params": params}, **inputs, **how)
        weights = jnp.arange(1.0, 1.0 + logits.shape[1], dtype=logits.dtype)
        return jnp.where(mask, logits @ weights, 0).sum(), (logits, updates)

    gradient, (logits, updates) = jax.grad(loss, has_aux=True)(variables["params"])
    if model.axis_name is not None:
        gradient = jax.lax.psum(gradient, model.axis_name)
    return logits, updates, gradient


def assert_same(got, expected, rtol=1e-9):
    """Compares trees leaf by leaf; errors count against a layer's largest value too.

    Note: the bias before a BatchNorm has a gradient of zero, which rounding blurs.
    """
    largest = {}
    for path, b in jax.tree_util.tree_leaves_with_path(expected):
        largest[path[:-1]] = max(largest.get(path[:-1], 1e-3), np.abs(b).max())

    def same(path, a, b):
        atol = rtol * largest[path[:-1]] / 10
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=name)

    jax.tree_util.tree_map_with_path(same, got, expected)


def halves(tree):
    """Splits a batch of four between two devices."""
    return jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), tree)
