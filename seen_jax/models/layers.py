"""Convolution, dense layer and batch normalisation as PyTorch defines them.

Three things differ from Flax's own layers, and each changes the published numbers: the
initial distributions, symmetric padding at stride 2, and the unbiased variance among
BatchNorm's running statistics. Parameters take the dtype of the input that they are
initialised with; later inputs of another dtype or size are refused. Images are
(..., H, W, C), kernels (Y, X, C, D): rows, columns, channels in and out.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from seen_jax.errors import refuse
from seen_jax.models.precision import Product

MOMENTUM = 0.1  # PyTorch's sense: running = 0.9 * running + 0.1 * batch
EPSILON = 1e-5


def uniform_by_fan_in(fan_in: int) -> nn.initializers.Initializer:
    """Returns an initialiser: uniform within +-1 / sqrt(fan_in), for biases too.

    Reference: the defaults of PyTorch's conv and dense layers.
    """
    limit = 1 / math.sqrt(fan_in)

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return init


def param(module: nn.Module, name: str, init, shape, dtype) -> jax.Array:
    """Returns `module.param(...)`, once the variable given is checked."""
    _check_given(module, "params", name, shape, dtype)
    return module.param(name, init, shape, dtype)


def statistic(module: nn.Module, name: str, init, shape, dtype) -> nn.Variable:
    """Returns a variable of "batch_stats", checked likewise."""
    _check_given(module, "batch_stats", name, shape, dtype)
    return module.variable("batch_stats", name, init, shape, dtype)


def _check_given(module, collection, name, shape, dtype):
    """Raises a UserError if a given variable is not the one that the module needs.

    NumPy's float64 passes for float32 where x64 is off, as everywhere in JAX.
    """
    if module.is_initializing():
        return
    path = "/".join((collection, *module.path, name))
    rule = f"{jnp.dtype(dtype)} of shape {shape}, as the inputs and options ask for"
    remedy = "give weights, options and inputs that belong together"
    if not module.has_variable(collection, name):
        refuse(path, rule, "none", remedy)
    given = module.get_variable(collection, name)
    if (given.shape, jax.dtypes.canonicalize_dtype(given.dtype)) != (shape, dtype):
        refuse(path, rule, f"{given.dtype} of shape {given.shape}", remedy)


def convolve(images: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolves (..., H, W, C) with a kernel (Y, X, C, D).

    The padding is symmetric, half the kernel on every side. At stride 2, "SAME" would
    pad less before than behind and shift every later layer.
    """
    batch = images.reshape(-1, *images.shape[-3:])
    out = lax.conv_general_dilated(
        batch,
        kernel,
        window_strides=(stride, stride),
        padding=[(size // 2, size // 2) for size in kernel.shape[:2]],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return out.reshape(*images.shape[:-3], *out.shape[1:])


class Conv(nn.Module):
    """Convolution of images (..., H, W, C), with a kernel that both branches may read.

    Attributes:
      features: channels of the output.
      kernel_size: rows and columns of the kernel, odd.
      stride: step of the kernel in rows and columns.
      use_bias: whether there is a bias to learn.
    """

    features: int
    kernel_size: int
    stride: int = 1
    use_bias: bool = True

    def __call__(
        self, images: jax.Array, *, add_bias: bool = True, learn: bool = True
    ) -> jax.Array:
        """Convolves (..., H, W, C).

        `add_bias=False` omits the bias, `learn=False` stops the gradient to the kernel.
        """
        kernel, bias = self.weights(images.shape[-1], images.dtype)
        if not learn:
            kernel = lax.stop_gradient(kernel)
        out = convolve(images, kernel, self.stride)
        return out if bias is None or not add_bias else out + bias

    @nn.compact
    def weights(self, channels: int, dtype) -> tuple[jax.Array, jax.Array | None]:
        """Returns the kernel (Y, X, channels, features) and the bias (features,)."""
        shape = (self.kernel_size, self.kernel_size, channels, self.features)
        init = uniform_by_fan_in(math.prod(shape[:3]))
        kernel = param(self, "kernel", init, shape, dtype)
        if not self.use_bias:
            return kernel, None
        return kernel, param(self, "bias", init, shape[3:], dtype)


class Dense(nn.Module):
    """Matrix product over the last axis, (..., C) to (..., features), with bias."""

    features: int

    def __call__(self, x: jax.Array, product: Product = jnp.matmul) -> jax.Array:
        """Multiplies (..., C) by (C, features) with `product`."""
        kernel, bias = self.weights(x.shape[-1], x.dtype)
        return product(x, kernel) + bias

    @nn.compact
    def weights(self, channels: int, dtype) -> tuple[jax.Array, jax.Array]:
        """Returns the kernel (channels, features) and the bias (features,)."""
        shape = (channels, self.features)
        init = uniform_by_fan_in(channels)
        kernel = param(self, "kernel", init, shape, dtype)
        return kernel, param(self, "bias", init, shape[1:], dtype)


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last, without padding examples.

    A batch is normalised by its biased variance, while the running variance averages
    the unbiased one, n / (n - 1) times that (0 for a single example). `num_batches` is
    part of published checkpoints; nothing here reads it.

    Attributes:
      axis_name: name of the `pmap` axis over whose devices a batch extends.
    """

    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, *, train: bool, mask: jax.Array | None = None
    ) -> jax.Array:
        """Normalises.

        Args:
          x: (..., C).
          train: use the batch's statistics and update the running ones.
          mask: (...) bool, False where an example is padding; at least one True.
        """
        like = (x.shape[-1:], x.dtype)
        scale = param(self, "scale", nn.initializers.ones, *like)
        bias = param(self, "bias", nn.initializers.zeros, *like)
        mean = statistic(self, "mean", jnp.zeros, *like)
        var = statistic(self, "var", jnp.ones, *like)
        num_batches = statistic(self, "num_batches", jnp.zeros, (), jnp.int32)
        if not train:
            return _normalise(x, mean.value, var.value) * scale + bias
        batch_mean, batch_var, count = self._statistics(x, mask)
        if not self.is_initializing():
            unbiased = batch_var * count / jnp.maximum(count - 1, 1)
            mean.value = (1 - MOMENTUM) * mean.value + MOMENTUM * batch_mean
            var.value = (1 - MOMENTUM) * var.value + MOMENTUM * unbiased
            num_batches.value = num_batches.value + 1
        return _normalise(x, batch_mean, batch_var) * scale + bias

    def _statistics(self, x, mask):
        """Returns mean and biased variance (C,), and the number of examples ()."""
        keep = jnp.ones(x.shape[:-1], bool) if mask is None else mask
        count = self._total(keep.sum(dtype=x.dtype))
        mean = self._total(_sum_where(keep, x)) / count
        var = self._total(_sum_where(keep, jnp.square(x - mean))) / count
        return mean, var, count

    def _total(self, x):
        """Sums over the devices, if there are several."""
        if self.axis_name is None or self.is_initializing():
            return x
        return lax.psum(x, self.axis_name)


def _normalise(x, mean, var):
    return (x - mean) / jnp.sqrt(var + EPSILON)


def _sum_where(keep, x):
    """Sums (..., C) over the unmasked examples, to (C,)."""
    return jnp.where(keep[..., None], x, 0).sum(axis=range(x.ndim - 1))
