"""The PyTorch transcription: against the golden numbers, then against JAX in training.

The golden numbers are those of the released program (tests/golden/README.md).
"""

from functools import partial

import jax
import numpy as np
import pytest
from tests.data.memory import memory_records

from seen_jax.data.batches import Batches, Stream
from seen_jax.data.windows import Setting
from seen_jax.export.convert import torch_from_variables, variables_from_torch
from seen_jax.models.seen import SEEN
from seen_jax.training import step
from seen_jax.training.optimizer import learning_rate_by_epoch, sgd
from seen_jax.training.state import TrainState
from tests import golden

torch = pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import torch_seen  # noqa: E402

torch.set_num_threads(1)  # threads that wait for a busy processor cost more than one

GOLDEN = golden.load()
# A bias in front of BatchNorm shifts every example alike, which BatchNorm takes away:
# its gradient is zero but for rounding.
WITHOUT_EFFECT = [f"mlp_f{i}.1.bias" for i in (1, 2, 3)]
agrees = partial(np.testing.assert_allclose, rtol=1e-9)


def network():
    """A new network in float64 that has the golden weights."""
    return torch_seen.load(torch_seen.SEEN().double(), golden.state_dict())


def golden_inputs():
    frames = golden.inputs(GOLDEN)
    labels = torch.from_numpy(GOLDEN["labels"].astype(np.int64))
    rgb = map(torch_seen.rgb, (frames["event_frames"], frames["intensity_frames"]))
    return *rgb, labels


@pytest.fixture(scope="module")
def trained():
    """The losses of five steps, the first step's gradient, and the network after."""
    trained, gradient = network(), {}
    optimizer, schedule = torch_seen.recipe(trained)
    losses = []
    for _ in range(5):
        losses.append(torch_seen.train_step(trained, optimizer, *golden_inputs()))
        schedule.step()
        gradient = gradient or {
            name: p.grad.numpy().copy() for name, p in trained.named_parameters()
        }
    return losses, gradient, trained


def test_the_entries_are_the_published_ones():
    entries = torch_seen.SEEN().state_dict()
    expected = golden.state_dict()
    assert {k: v.shape for k, v in entries.items()} == {
        k: v.shape for k, v in expected.items()
    }
    assert sum(p.numel() for p in torch_seen.SEEN().parameters()) == 6_078_655


def test_evaluation():
    event, intensity, _ = golden_inputs()
    with torch.no_grad():
        agrees(network().eval()(event, intensity), GOLDEN["logits_eval"])
    expected = jax.nn.softmax(GOLDEN["logits_eval"].astype(np.float32))
    predicted = torch_seen.predict(network(), event, intensity)
    np.testing.assert_allclose(predicted, expected, rtol=1e-5)


def test_first_training_step():
    event, intensity, _ = golden_inputs()
    with torch.no_grad():
        agrees(network().spatial(intensity)[0], GOLDEN["attention_train"])
        agrees(network()(event, intensity), GOLDEN["logits_train"])


def test_loss_curve(trained):
    agrees(trained[0], GOLDEN["losses"])


def test_gradient(trained):
    for name, gradient in trained[1].items():
        atol = 1e-14 if name in WITHOUT_EFFECT else 0
        agrees(np.linalg.norm(gradient), GOLDEN[f"grad/{name}/norm"], atol=atol)
        values = gradient.ravel()[GOLDEN[f"index/{name}"]]
        agrees(values, GOLDEN[f"grad/{name}/at"], atol=atol, err_msg=name)


def test_after_five_steps(trained):
    for name, value in trained[2].state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            agrees(value, GOLDEN[f"after_buffer/{name}"])
        elif not name.endswith("num_batches_tracked"):
            values = value.numpy().ravel()[GOLDEN[f"index/{name}"]]
            agrees(np.linalg.norm(value), GOLDEN[f"after/{name}/norm"])
            agrees(values, GOLDEN[f"after/{name}/at"], err_msg=name)


def test_nothing_but_fc_learns_through_the_event_frames():
    plain = network()
    event, intensity, _ = golden_inputs()
    plain.spatial = lambda x: (torch.full((4, 3), 1 / 3), torch.zeros(4, 512, 6, 6))
    plain(event, intensity).sum().backward()
    learned = {n for n, p in plain.named_parameters() if p.grad is not None}
    assert learned == {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    """Batches of 3 and 2 windows of five clips, and a row that fills up."""
    records = memory_records(tmp_path_factory.mktemp("records"), [20, 23, 26, 9, 12])
    return Batches(Stream(records), Setting(2, 3), 3, 2022, "train")


def jax_losses(batches, weights, num_steps):
    """Trains on two devices; returns the losses and the variables in published form."""
    rate = learning_rate_by_epoch(
        torch_seen.LEARNING_RATE,
        decay=torch_seen.LEARNING_RATE_DECAY,
        steps_per_epoch=len(batches),
    )
    optimizer = sgd(
        rate, momentum=torch_seen.MOMENTUM, weight_decay=torch_seen.WEIGHT_DECAY
    )
    train_step = step.make_train_step(SEEN(axis_name=step.AXIS), optimizer)
    variables, number = variables_from_torch(weights), np.zeros((), np.int32)
    opt_state = optimizer.init(variables["params"])
    state = step.replicate(TrainState(number, **variables, opt_state=opt_state))
    losses = []
    for number in range(num_steps):
        state, sums = train_step(state, batches.batch(number))
        losses.append(sums["loss"][0] / sums["count"][0])
    return losses, torch_from_variables(step.first(state).variables)


def test_twenty_steps_from_the_same_weights_and_windows(batches):
    weights, num_steps = golden.state_dict(1), 20
    with jax.enable_x64(True):
        losses, after = jax_losses(batches, weights, num_steps)
    plain = torch_seen.load(torch_seen.SEEN().double(), weights)
    optimizer, schedule = torch_seen.recipe(plain)
    plain_losses = []
    for number in range(num_steps):
        given = torch_seen.inputs(batches.batch(number), np.float64)
        plain_losses.append(torch_seen.train_step(plain, optimizer, *given).item())
        if (number + 1) % len(batches) == 0:
            schedule.step()
    agrees(losses, plain_losses)
    for name, value in plain.state_dict().items():
        agrees(after[name], value, atol=1e-11, err_msg=name)
    assert len(set(np.round(losses, 3))) > 10  # something happened
