"""SEEN against the golden numbers (tests/golden/README.md), in float64.

Float32 is compared where no membrane is near the threshold, in fast/test_network.py.
"""

import jax
import numpy as np
import optax
import pytest

from seen_jax.export.convert import torch_from_variables, variables_from_torch
from seen_jax.models.seen import SEEN
from seen_jax.training.optimizer import learning_rate_by_epoch, sgd
from tests import golden

GOLDEN = golden.load()


def optimizer():
    rate = learning_rate_by_epoch(0.015, decay=0.94, steps_per_epoch=1)
    return sgd(rate, momentum=0.9, weight_decay=1e-3)


@jax.jit
def train_step(variables, opt_state, inputs, labels):
    """One step of gradient descent: the new state, and what the golden file has."""

    def loss_fn(params):
        how = {"train": True, "capture": True, "mutable": ["batch_stats"]}
        now = {**variables, "params": params}
        (logits, captured), updates = SEEN().apply(now, **inputs, **how)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), (logits, captured.attention, updates)

    (loss, (logits, attention, stats)), gradient = jax.value_and_grad(
        loss_fn, has_aux=True
    )(variables["params"])
    update, opt_state = optimizer().update(gradient, opt_state, variables["params"])
    params = optax.apply_updates(variables["params"], update)
    facts = {"loss": loss, "logits": logits, "attention": attention, "grad": gradient}
    return {"params": params, **stats}, opt_state, facts


@pytest.fixture(scope="module")
def trained():
    """What each of five steps saw, and the variables after the last."""
    with jax.enable_x64(True):
        variables = variables_from_torch(golden.state_dict(int(GOLDEN["seed"])))
        opt_state = optimizer().init(variables["params"])
        inputs, labels = golden.inputs(GOLDEN), GOLDEN["labels"].astype(np.int32)
        steps = []
        for _ in range(5):
            now = variables, opt_state
            variables, opt_state, facts = train_step(*now, inputs, labels)
            steps.append(jax.device_get(facts))
        return steps, jax.device_get(variables)


@pytest.fixture(scope="module")
def evaluated():
    @jax.jit
    def evaluate(variables, inputs):
        logits, captured = SEEN().apply(variables, **inputs, capture=True)
        return logits, captured.spike_rates, captured.membrane_means

    with jax.enable_x64(True):
        variables = variables_from_torch(golden.state_dict(int(GOLDEN["seed"])))
        return jax.device_get(evaluate(variables, golden.inputs(GOLDEN)))


def test_evaluation(evaluated):
    logits, spike_rates, membrane_means = evaluated
    golden.agrees(logits, GOLDEN["logits_eval"])
    golden.agrees(spike_rates, GOLDEN["spike_rates_eval"])
    golden.agrees(membrane_means, GOLDEN["membrane_means_eval"])


def test_first_training_step(trained):
    first = trained[0][0]
    golden.agrees(first["logits"], GOLDEN["logits_train"])
    golden.agrees(first["attention"], GOLDEN["attention_train"])


def test_loss_curve(trained):
    golden.agrees([step["loss"] for step in trained[0]], GOLDEN["losses"])


def test_gradient(trained):
    steps, variables = trained
    grad = {"params": steps[0]["grad"], "batch_stats": variables["batch_stats"]}
    golden.check(GOLDEN, "grad", torch_from_variables(grad))


def test_variables_after_five_steps(trained):
    after = torch_from_variables(trained[1])
    assert after.keys() == golden.state_dict().keys()
    golden.check(GOLDEN, "after", after)
    for i in (1, 2, 3):
        assert after[f"mlp_f{i}.2.num_batches_tracked"] == 5
