"""Parameters that training leaves as they are, bit by bit.

A path is written as in mlp_f1/norm/scale. A frozen parameter has no part in the
gradient's norm, no weight decay and no state in the optimiser, and a BatchNorm whose
scale and bias are frozen is as in evaluation: it normalises by its running statistics,
and keeps them.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jax
import optax
from flax import linen as nn

from seen_jax.errors import refuse
from seen_jax.models.layers import BatchNorm


def match(paths: Collection[str], patterns: str) -> frozenset[str]:
    """Returns the parameters that patterns name.

    Args:
      paths: of all parameters.
      patterns: as of `fnmatch`, whose * stands for any text, also with a / in it;
        separated by commas; "" names none.

    Raises:
      UserError: a pattern names none, or together they name all.
    """
    frozen = set()
    for pattern in patterns.split(",") if patterns else ():
        named = {path for path in paths if fnmatch.fnmatchcase(path, pattern)}
        if not named:
            rule = f"patterns of some of {', '.join(sorted(paths))}"
            refuse("freeze", rule, repr(pattern), "such as --config.freeze='conv*'")
        frozen |= named
    if len(frozen) == len(paths):
        refuse("freeze", "patterns that leave something to train", repr(patterns))
    return frozenset(frozen)


def without(
    optimizer: optax.GradientTransformation, frozen: Collection[str]
) -> optax.GradientTransformation:
    """Returns the optimiser for all parameters but those that are frozen.

    In the place of these, its updates have an `optax.MaskedNode` for `apply_updates`.
    """
    if not frozen:
        return optimizer

    def rest(tree):
        return jax.tree_util.tree_map_with_path(
            lambda path, x: optax.MaskedNode() if _text(path) in frozen else x, tree
        )

    def init(params):
        return optimizer.init(rest(params))

    def update(gradients, state, params=None):
        return optimizer.update(rest(gradients), state, rest(params))

    return optax.GradientTransformation(init, update)


def apply_updates(params: Any, updates: Any) -> Any:
    """Adds updates to parameters; one that is frozen stays as it is.

    With an update of 0 it would not: -0 + 0 is 0, and some processors make 0 of the
    smallest numbers.
    """

    def apply(x, update):
        frozen = isinstance(update, optax.MaskedNode)
        return x if frozen else optax.apply_updates(x, update)

    return jax.tree.map(apply, params, updates)


@dataclass(frozen=True)
class FrozenNorms:
    """A model's `apply`, in which BatchNorms with frozen paths run as in evaluation."""

    model: nn.Module
    frozen: frozenset[str]

    def apply(self, *args, **options) -> Any:
        with nn.intercept_methods(self._intercept):
            return self.model.apply(*args, **options)

    def _intercept(self, method, args, options, context):
        if isinstance(context.module, BatchNorm):
            path = context.module.path
            own = {"/".join((*path, name)) for name in ("scale", "bias")}
            options = options | ({"train": False} if own <= self.frozen else {})
        return method(*args, **options)


def sizes_of(params: Any) -> dict[str, int]:
    """Returns the size of every parameter, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {_text(path): x.size for path, x in leaves}


def to_text(params: Any, frozen: Collection[str]) -> str:
    """Formats how many parameters are frozen and which, by the shorter list."""
    sizes = sizes_of(params)
    rest = sizes.keys() - frozen
    named = ", ".join(sorted(frozen))
    if len(rest) < len(frozen):
        named = f"all but {', '.join(sorted(rest))}"
    count, total = sum(sizes[path] for path in frozen), sum(sizes.values())
    return f"frozen: {count:,} of {total:,} parameters: {named}"


def _text(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
