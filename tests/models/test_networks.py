"""Networks by their names in a config."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from seen_jax.errors import UserError
from seen_jax.models import networks, surrogate
from seen_jax.models.fast.network import FastSEEN, network, plain, program
from seen_jax.models.lif import LIF
from seen_jax.models.seen import SEEN

CONFIG = default.get_config().to_dict()


def test_defaults_are_those_of_the_configs():
    for name in networks.NETWORKS:
        for field, value in networks.fields_of(name).items():
            assert (value, type(value)) == (CONFIG[field], type(CONFIG[field])), field
    assert networks.fields_of("cnn") == {"intensity": "first_and_last"}


def test_the_default_is_the_published_network():
    model = networks.make(CONFIG, 5, "devices")
    assert isinstance(model, FastSEEN)
    published = SEEN(num_classes=5, axis_name="devices")
    for field in ("num_classes", "intensity", "kernels", "attention", "readout"):
        assert getattr(model, field) == getattr(published, field)
    assert model.neuron == published.neuron and model.axis_name == "devices"


def test_options_and_constants_of_the_neuron_arrive():
    options = {"kernels": "own", "attention": "own", "readout": "mean_spike"}
    model = networks.make(CONFIG | options | {"surrogate": "arctan"}, 7)
    assert {name: getattr(model, name) for name in options} == options
    assert model.neuron.surrogate is surrogate.arctan
    neuron = {"decay": 0.5, "threshold": 0.7, "surrogate": "triangle"}
    model = networks.make(CONFIG | neuron | {"surrogate_width": 0.25}, 7)
    assert (model.neuron.decay, model.neuron.threshold) == (0.5, 0.7)
    # 1 - 0.2 / 0.25, which with the triangle's own width of 1 would be 0.8.
    offset = jnp.array([0.2, -0.3])
    np.testing.assert_allclose(model.neuron.surrogate(offset), [0.2, 0], rtol=1e-6)
    model = networks.make(CONFIG | neuron, 7)
    np.testing.assert_allclose(model.neuron.surrogate(offset), [0.8, 0.7], rtol=1e-6)
    assert networks.make(CONFIG, 7).neuron == LIF()


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"network": "cnn", "readout": "last_spike"}, "readout: expected 'mean_memb"),
        ({"network": "lstm", "decay": 0.5}, "decay: expected 0.2, since network lstm"),
        ({"network": "cnn3d", "precision": "bfloat16"}, "precision: expected 'float"),
    ],
)
def test_a_field_that_a_network_does_not_read(fields, words):
    with pytest.raises(UserError, match=words) as error:
        networks.check(CONFIG | fields)
    (_, field) = fields
    assert str(error.value).endswith(f"leave out --config.{field}")


def test_in_words():
    assert networks.in_words(CONFIG) == "seen"
    changed = {"kernels": "own", "readout": "last_spike", "seed": 3}
    text = "seen, kernels own, readout last_spike"
    assert networks.in_words(CONFIG | changed) == text
    assert networks.in_words(CONFIG | {"network": "cnn"}) == "cnn"


def test_which_networks_show_their_spikes():
    shows = {
        name: networks.captures(networks.make(CONFIG | {"network": name}, 7))
        for name in networks.NETWORKS
    }
    assert shows.pop("seen") and not any(shows.values())
    assert networks.captures(SEEN())


@pytest.mark.parametrize("name", [x for x in networks.NETWORKS if x != "seen"])
def test_others_see_the_intensity_frames_of_the_config(name):
    fields = {"network": name, "intensity": "first"}
    model = networks.make(CONFIG | fields, 3, None)
    shapes = [jax.ShapeDtypeStruct((2, n, 18, 18), jnp.float32) for n in (4, 1)]
    inputs = dict(zip(("event_frames", "intensity_frames"), shapes, strict=True))
    logits, variables = jax.eval_shape(
        lambda key, **x: model.init_with_output(key, **x), jax.random.key(0), **inputs
    )
    assert logits.shape == (2, 3)
    kernel = variables["params"]["frames"]["stem"]["conv0"]["kernel"]
    assert kernel.shape == (1, 1, 3, 3)
    assert (model.stem.func, plain(model).stem) == (FastSEEN, SEEN)
    assert program(model) == program(network())
