"""The PyTorch transcription against the golden numbers.

The golden numbers are those of the released program (tests/golden/README.md).
"""

import jax
import numpy as np
import pytest

from tests import golden

torch = pytest.importorskip("torch", reason="PyTorch is not in the ordinary install")
from seen_jax.benchmarks import torch_seen  # noqa: E402

torch.set_num_threads(1)  # threads that wait for a busy processor cost more than one

GOLDEN = golden.load()


def network():
    """A new network in float64 that has the golden weights."""
    return torch_seen.load(torch_seen.SEEN().double(), golden.state_dict())


def golden_inputs():
    frames = golden.inputs(GOLDEN)
    labels = torch.from_numpy(GOLDEN["labels"].astype(np.int64))
    rgb = map(torch_seen.rgb, (frames["event_frames"], frames["intensity_frames"]))
    return *rgb, labels


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
        golden.agrees(network().eval()(event, intensity), GOLDEN["logits_eval"])
    expected = jax.nn.softmax(GOLDEN["logits_eval"].astype(np.float32))
    predicted = torch_seen.predict(network(), event, intensity)
    np.testing.assert_allclose(predicted, expected, rtol=1e-5)


def test_five_steps():
    trained, losses = network(), []
    optimizer, schedule = torch_seen.recipe(trained)
    for _ in range(5):
        losses.append(torch_seen.train_step(trained, optimizer, *golden_inputs()))
        schedule.step()
        if len(losses) == 1:
            gradient = {x: p.grad.numpy() for x, p in trained.named_parameters()}
            golden.check(GOLDEN, "grad", gradient)
    golden.agrees(losses, GOLDEN["losses"])
    after = {name: x.numpy() for name, x in trained.state_dict().items()}
    golden.check(GOLDEN, "after", after)


def test_nothing_but_fc_learns_through_the_event_frames():
    plain = network()
    event, intensity, _ = golden_inputs()
    plain.spatial = lambda x: (torch.full((4, 3), 1 / 3), torch.zeros(4, 512, 6, 6))
    plain(event, intensity).sum().backward()
    learned = {n for n, p in plain.named_parameters() if p.grad is not None}
    assert learned == {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}
