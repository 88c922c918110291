"""Logits and labels -> the loss of each example: cross-entropy, as published or varied.

    targets = (1 - smoothing) * one_hot(label) + smoothing / K
    loss    = weight[label] * -sum_K targets log softmax(logits)

Note: a step divides the sum of a batch's losses by the number of its examples, not by
the sum of their weights.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

Loss = Callable[[jax.Array, jax.Array], jax.Array]
CLASS_WEIGHTS = ("equal", "balanced")

cross_entropy: Loss = optax.softmax_cross_entropy_with_integer_labels


def make_loss(
    label_smoothing: float = 0.0, class_weights: np.ndarray | None = None
) -> Loss:
    """Returns logits (B, K) and labels (B,) -> losses (B,).

    Args:
      label_smoothing: share of a target that all K classes divide, 0 to 1.
      class_weights: (K,) factors by class; None: none.
    """
    if not label_smoothing and class_weights is None:
        return cross_entropy

    def loss(logits, label):
        one_hot = jax.nn.one_hot(label, logits.shape[-1], dtype=logits.dtype)
        targets = optax.smooth_labels(one_hot, label_smoothing)
        losses = optax.softmax_cross_entropy(logits, targets)
        if class_weights is None:
            return losses
        return losses * jnp.asarray(class_weights, losses.dtype)[label]

    return loss


def balanced(label_index: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns weights (K,) with which every class counts as much as another.

    Class k of n_k examples has N / (K' n_k), K' being the number of classes with any;
    a class without has 0. The mean over the training clips is 1.

    Args:
      label_index: (N,) int, classes of the training clips.
      num_classes: K.
    """
    counts = np.bincount(label_index, minlength=num_classes)
    share = len(label_index) / np.count_nonzero(counts)
    return np.divide(share, counts, out=np.zeros(num_classes), where=counts > 0)
