"""Variables for tests, without the time that compiling `init` takes."""

import jax
import jax.numpy as jnp
import numpy as np


def draw(model, inputs, scale=3.0):
    """Draws weights and biases, `scale` times the initial ones so that all layers fire.

    Args:
      model: a module that is called as `SEEN` is.
      inputs: arrays by name, or their shapes.
      scale: factor of the initial range of weights.
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0), **inputs)
    rng = np.random.default_rng(0)

    def leaf(path, x):
        name = path[-1].key
        if name in ("mean", "num_batches"):
            return jnp.zeros(x.shape, x.dtype)
        if name in ("scale", "var"):
            return jnp.ones(x.shape, x.dtype)
        limit = scale / np.sqrt(np.prod(x.shape[:-1]))
        return jnp.asarray(rng.uniform(-limit, limit, x.shape), x.dtype)

    return jax.tree_util.tree_map_with_path(leaf, shapes)
