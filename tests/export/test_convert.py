import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seen_jax.export.convert import (
    published_entries,
    torch_from_variables,
    variables_from_torch,
)
from seen_jax.models.seen import SEEN
from tests import golden

COUNT = "mlp_f2.2.num_batches_tracked"


@pytest.fixture
def state_dict():
    weights = golden.state_dict(1, side=2)
    weights["mlp_f1.2.num_batches_tracked"] = np.array(12345, np.int64)
    return weights


def model_variables(size=26, **options):
    """Shapes of a model's variables, and arrays of such shapes with all bits mixed."""
    shape = jax.ShapeDtypeStruct
    frames = 4 if options.get("intensity") == "all" else 2
    shapes = jax.eval_shape(
        SEEN(**options).init,
        jax.random.key(0),
        event_frames=shape((1, 4, size, size), jnp.float32),
        intensity_frames=shape((1, frames, size, size), jnp.float32),
    )
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: rng.integers(0, 2**30, x.shape, np.int32).view(x.dtype), shapes
    )


def assert_same_bits(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float32, np.float64])
def test_published_to_variables_and_back(state_dict, dtype):
    for name, array in state_dict.items():
        if array.dtype == np.float64:
            state_dict[name] = array.astype(dtype)
    assert_same_bits(torch_from_variables(variables_from_torch(state_dict)), state_dict)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_classes": 4},
        {"intensity": "all"},
        {"kernels": "shared"},
        {"kernels": "own"},
        {"attention": "own"},
    ],
    ids=str,
)
def test_variables_to_published_and_back(options):
    variables = model_variables(**options)
    assert_same_bits(variables_from_torch(torch_from_variables(variables)), variables)


def test_names_and_shapes_are_the_published_ones():
    published = {name: array.shape for name, array in golden.state_dict().items()}
    entries = published_entries(num_classes=7)
    assert {name: x.shape for name, x in entries.items()} == published


def test_layouts():
    weights = golden.state_dict(1, side=2)
    params = variables_from_torch(weights)["params"]
    out, channel, row, column = 3, 41, 1, 2
    assert (
        params["conv2_f2"]["kernel"][row, column, channel, out]
        == weights["conv2_f2.weight"][out, channel, row, column]
    )
    assert params["fc2"]["kernel"][41, 3] == weights["fc2.weight"][3, 41]
    row, column = 1, 0  # of the 2 x 2 image of 512 channels that fc1 reads
    assert (
        params["fc1"]["kernel"][(row * 2 + column) * 512 + channel, out]
        == weights["fc1.weight"][out, (channel * 2 + row) * 2 + column]
    )
    assert (
        params["mlp_f2"]["reduce"]["kernel"][9, 5]
        == weights["mlp_f2.1.weight"][5, 9, 0, 0]
    )


def test_arrays_are_copies(state_dict):
    variables = variables_from_torch(state_dict)
    state_dict["conv0.bias"][:] = 7
    assert not (variables["params"]["conv0"]["bias"] == 7).any()


def test_all_that_is_wrong_with_a_state_dict_is_listed_at_once(state_dict):
    del state_dict["conv0.bias"], state_dict["mlp_f3.2.num_batches_tracked"]
    state_dict["conv9.weight"] = np.zeros(3)
    state_dict["fc1.weight"] = np.zeros((256, 1000))
    state_dict["fc2.bias"] = np.zeros(9)
    state_dict["conv2_f2.weight"] = np.zeros((256, 64, 5, 5))
    with pytest.raises(ValueError) as caught:
        variables_from_torch(state_dict)
    assert str(caught.value).splitlines() == [
        "state_dict: expected the entries of a published checkpoint, got others",
        "  missing conv0.bias",
        "  missing mlp_f3.2.num_batches_tracked",
        "  not known: conv9.weight",
        "  conv2_f2.weight: expected shape (256, 64, 3, 3), got (256, 64, 5, 5)",
        "  fc1.weight: expected shape (256, 18432), got (256, 1000)",
        "  fc2.weight: expected shape (9, 256), got (7, 256)",
    ]


@pytest.mark.parametrize(
    "name, value, problem",
    [
        ("fc2.weight", np.zeros((256, 7)), r"shape \(7, 256\), got \(256, 7\)"),
        ("conv0.bias", np.zeros(3, np.int64), "floats, got int64"),
        ("conv0.bias", np.full(3, None), "floats, got object"),
        (
            COUNT,
            np.array(2**31),
            r"an integer of 0 to 2\*\*31 - 1, got int64 2147483648",
        ),
        ("conv0.bias", np.full(3, 1e300), "numbers that float32 holds"),
        ("mlp_f2.2.running_var", np.full(8, -0.5), "variances from 0, got -0.5"),
        (COUNT, np.array(-1), r"an integer .*, got int64 -1"),
        (COUNT, np.array(1.5), r"an integer .*, got float64 1.5"),
    ],
)
def test_values_that_would_change_are_refused(state_dict, name, value, problem):
    state_dict[name] = value
    with pytest.raises(ValueError, match=rf"got others\n  {name}: expected {problem}$"):
        variables_from_torch(state_dict)


def test_variables_that_would_change_are_refused():
    variables = model_variables()
    variables["params"]["conv0"]["bias"] = np.zeros(3, np.int32)
    variables["params"]["fc1"]["kernel"] = np.zeros((5, 256), np.float32)
    variables["batch_stats"]["mlp_f1"]["norm"]["num_batches"] = np.float32(2)
    del variables["batch_stats"]["mlp_f2"]["norm"]["mean"]
    with pytest.raises(ValueError) as caught:
        torch_from_variables(variables)
    assert str(caught.value).splitlines()[1:] == [
        "  missing batch_stats/mlp_f2/norm/mean",
        "  params/conv0/bias: expected floats, got int32",
        "  params/fc1/kernel: expected shape (18432, 256), got (5, 256)",
        "  batch_stats/mlp_f1/norm/num_batches: expected an integer of 0 to 2**31 - 1, "
        "got float32 2.0",
    ]


def test_a_whole_checkpoint_is_no_state_dict(state_dict):
    with pytest.raises(ValueError, match="whole checkpoint; give its `state_dict`"):
        variables_from_torch({"epoch": 180, "state_dict": state_dict})


def test_what_branch_t_has_of_its_own_is_there_as_a_whole():
    variables = model_variables(kernels="own", attention="own")
    names = (
        torch_from_variables(variables).keys()
        - torch_from_variables(model_variables()).keys()
    )
    assert {"conv3_f2_t.weight", "mlp_f3_t.2.running_var"} < names
    assert "conv3_f2_t.bias" not in names and len(names) == 6 + 3 * 9
    del variables["params"]["conv1_cat_t"], variables["params"]["mlp_f1_t"]["reduce"]
    with pytest.raises(ValueError) as caught:
        torch_from_variables(variables)
    assert "missing params/conv1_cat_t/kernel" in str(caught.value)
    assert "missing params/mlp_f1_t/reduce/kernel" in str(caught.value)
