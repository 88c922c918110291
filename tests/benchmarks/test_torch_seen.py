"""The PyTorch transcription against the golden numbers.

The golden numbers are those of the released program (tests/golden/README.md).
"""

from functools import partial

import jax
import numpy as np
import pytest

from tests import golden

torch = pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import torch_seen  # noqa: E402

torch.set_num_threads(1)  # threads that wait for a busy processor cost more than one

GOLDEN = golden.load()
# Sums in another order differ by about 1e-16 of their largest term.
agrees = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)


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
        agrees(np.linalg.norm(gradient), GOLDEN[f"grad/{name}/norm"])
        values = gradient.ravel()[GOLDEN[f"index/{name}"]]
        agrees(values, GOLDEN[f"grad/{name}/at"], err_msg=name)


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
