"""Checkpoints and networks on disk; skipped where torch is not installed."""

import os
import pathlib

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from seen_jax.benchmarks import torch_seen  # noqa: E402
from seen_jax.errors import UserError  # noqa: E402
from seen_jax.export import torch_files  # noqa: E402
from seen_jax.export.convert import torch_from_variables, variables_from_torch  # noqa: E402
from seen_jax.runtime import seen_runtime  # noqa: E402
from tests import golden  # noqa: E402

# Those that TensorRT 8.2 has for the types in which they are used here.
# Reference: github.com/onnx/onnx-tensorrt, branch release/8.2-GA, docs/operators.md.
TENSORRT = {"Add", "Cast", "Concat", "Constant", "Gather", "Greater", "MatMul", "Mul"}
TENSORRT |= {"ReduceMean", "Relu", "Reshape", "Softmax", "Sub"}
TENSORRT |= {"Unsqueeze"}


@pytest.fixture(scope="module")
def state_dict():
    return golden.state_dict()


@pytest.fixture(scope="module")
def folded(state_dict):
    return seen_runtime.fold(state_dict)


def as_bytes(arrays):
    return {name: (x.dtype, x.shape, x.tobytes()) for name, x in arrays.items()}


def test_to_a_file_and_back_bit_by_bit(tmp_path, state_dict):
    path = tmp_path / "seen.pt"
    torch_files.write_checkpoint(path, state_dict, 163)
    arrays, epoch = torch_files.read_checkpoint(path)
    assert epoch == 163
    assert as_bytes(arrays) == as_bytes(state_dict)
    variables = variables_from_torch(arrays)
    assert as_bytes(torch_from_variables(variables)) == as_bytes(state_dict)


def test_golden_logits_by_the_plain_network_and_by_the_runtime(tmp_path, state_dict):
    torch_files.write_checkpoint(tmp_path / "seen.pt", state_dict, 0)
    loaded = torch.load(tmp_path / "seen.pt", weights_only=True)["state_dict"]
    plain = torch_seen.SEEN().double().eval()
    plain.load_state_dict(loaded, strict=True)
    folded = seen_runtime.fold({n: x.numpy() for n, x in loaded.items()}, np.float64)
    arrays = golden.load()
    inputs = golden.inputs(arrays).values()
    with torch.no_grad():
        expected = plain(*map(torch_seen.rgb, inputs))
        got = seen_runtime.make_network(folded, 4)(*map(torch.from_numpy, inputs))
    np.testing.assert_allclose(expected, arrays["logits_eval"], rtol=1e-11)
    np.testing.assert_allclose(got, arrays["logits_eval"], rtol=1e-11)


def test_other_forms_of_a_checkpoint(tmp_path, state_dict):
    tensors = {name: torch.from_numpy(x) for name, x in state_dict.items()}
    for content in (
        tensors,
        {f"module.{name}": x for name, x in tensors.items()},
        {
            "state_dict": tensors,
            "epoch": 7,
            "optimizer": {"state": {}},
            "scheduler": {},
        },
    ):
        torch.save(content, tmp_path / "file.pth")
        arrays, epoch = torch_files.read_checkpoint(tmp_path / "file.pth")
        assert as_bytes(arrays) == as_bytes(state_dict)
        assert epoch == content.get("epoch", 0)


class Malicious:
    def __repr__(self):
        return "malicious"

    def __reduce__(self):
        return os.mkdir, ("was_here",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"PK\x03\x04 no zip",
        {"state_dict": Malicious()},
        [1],
        {"a": 1},
        {1: torch.ones(2)},
        {"state_dict": {("a",): torch.ones(2)}, "epoch": 1},
    ],
    ids=str,
)
def test_what_is_no_checkpoint(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"file\.pth: expected a"):
        torch_files.read_checkpoint(path)
    assert not (tmp_path / "was_here").exists()
    with pytest.raises(UserError, match="got no file"):
        torch_files.read_checkpoint(tmp_path / "none.pth")


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions")
def test_entries_that_are_no_numbers_are_named(tmp_path):
    content = {
        "nan": torch.tensor([1.0, float("nan")]),
        "sparse": torch.eye(2).to_sparse(),
        "meta": torch.ones(2, device="meta"),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "complex": torch.ones(2, dtype=torch.complex64),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(ValueError, match="expected dense tensors") as error:
        torch_files.read_checkpoint(tmp_path / "file.pth")
    lines = str(error.value).splitlines()[1:]
    names = [line.split(":")[0].strip() for line in lines]
    assert names == ["nan", "sparse", "meta", "quantized", "complex"]


@pytest.mark.parametrize(
    "name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"]
)
def test_numbers_of_every_width_keep_their_value(tmp_path, name):
    given = torch.nn.Parameter(torch.tensor([0.5, -1.75, 3.0]).to(getattr(torch, name)))
    torch.save({"a": given}, tmp_path / "file.pth")
    arrays, _ = torch_files.read_checkpoint(tmp_path / "file.pth")
    assert arrays["a"].dtype == (np.float64 if name == "float64" else np.float32)
    assert arrays["a"].tolist() == [0.5, -1.75, 3.0]


@pytest.mark.parametrize("dynamic", [False, True])
def test_onnx_is_for_tensorrt(tmp_path, folded, dynamic):
    path = tmp_path / "seen.onnx"
    torch_files.write_onnx(path, folded, 4, dynamic=dynamic)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(x.domain, x.version) for x in model.opset_import] == [("", 13)]
    assert {node.op_type for node in model.graph.node} <= TENSORRT
    shapes = [
        [axis.dim_param or axis.dim_value for axis in x.type.tensor_type.shape.dim]
        for x in (*model.graph.input, *model.graph.output)
    ]
    batch = "windows" if dynamic else 1
    assert shapes == [[batch, 4, 90, 90], [batch, 2, 90, 90], [batch, 7]]


@pytest.mark.parametrize("version", ["1.12.1", "1.13.0+cu117", "2.5.1", "1.8.0a0"])
def test_a_torch_that_might_run_what_a_file_holds(tmp_path, monkeypatch, version):
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(torch, "load", None)  # it is not called at all
    with pytest.raises(ValueError) as error:
        torch_files.read_checkpoint(tmp_path / "file.pth")
    assert str(error.value) == (
        f"torch: expected 2.6 or newer, which runs no code of {tmp_path}/file.pth, got "
        f"{version}; python -m pip install --upgrade -r requirements-export.txt"
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk(folded):
    full = pathlib.Path("/dev/full")
    for write in (
        lambda: torch_files.write_checkpoint(full, {"a": np.zeros(3)}, 1),
        lambda: torch_files.write_torchscript(full, folded, 1),
        lambda: torch_files.write_onnx(full, folded, 1, dynamic=False),
    ):
        with pytest.raises(OSError, match="No space left"):
            write()
