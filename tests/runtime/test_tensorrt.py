"""The program for the board by TensorRT, which is missing everywhere here.

A stand-in shows no more than that it is called rightly.
"""

import ctypes
import ctypes.util
import sys
import types
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from seen_jax.runtime import seen_runtime
from seen_jax.runtime.seen_runtime import BackendError, BundleError
from tests.runtime.bundles import normalised


class Cuda:
    """Stands for CUDA's library; its memory is this program's."""

    def __init__(self, status):
        self.held, self.status = [], status

    def cudaMalloc(self, pointer, num_bytes):
        self.held.append(ctypes.create_string_buffer(num_bytes.value))
        pointer._obj.value = ctypes.addressof(self.held[-1])
        return self.status

    def cudaMemcpy(self, to, source, num_bytes, kind):
        assert kind == (2 if source.value in map(ctypes.addressof, self.held) else 1)
        ctypes.memmove(to, source, num_bytes.value)
        return self.status


class Engine:
    """An engine as TensorRT 8.2 shows it: an iterable of names, whose `*_binding_*`
    are gone in 10; the logits are the first pixels of both inputs."""

    def __init__(self, shapes):
        self.shapes, self.fails = shapes, False

    def __getitem__(self, i):
        return list(self.shapes)[i]

    def get_binding_shape(self, name):
        return self.shapes[name]

    def create_execution_context(self):
        return self

    def execute_v2(self, bindings):
        memory = dict(zip(self.shapes, bindings, strict=True))
        read = [
            np.ctypeslib.as_array(
                ctypes.cast(memory[name], ctypes.POINTER(ctypes.c_float)), (7,)
            )
            for name in ("event_frames", "intensity_frames", "logits")
        ]
        read[2][:] = read[0] + 2 * read[1]
        return not self.fails


class NewEngine(Engine):
    get_binding_shape = None

    def get_tensor_shape(self, name):
        return self.shapes[name]


SHAPES = {
    "intensity_frames": (1, 2, 90, 90),
    "event_frames": (1, 4, 90, 90),
    "logits": (1, 7),
}


def fake_tensorrt(monkeypatch, engine, status=0):
    package = types.SimpleNamespace(
        __version__="8.2.1",
        Logger=type("Logger", (), {"WARNING": 2, "__init__": lambda self, level: None}),
        Runtime=lambda logger: types.SimpleNamespace(
            deserialize_cuda_engine=lambda plan: engine if plan == b"plan" else None
        ),
    )
    monkeypatch.setitem(sys.modules, "tensorrt", package)
    cuda = Cuda(status)
    monkeypatch.setattr(ctypes, "CDLL", {"libcudart.so": cuda}.__getitem__)
    monkeypatch.setattr(ctypes.util, "find_library", {"cudart": None}.get)


@pytest.fixture
def plan(dummy):
    """Where the engine of the dummy's seen.onnx belongs."""
    manifest = seen_runtime.read_manifest(str(dummy))
    return Path(seen_runtime.engine_path(str(dummy), manifest))


@pytest.mark.parametrize("kind", [Engine, NewEngine])
def test_tensorrt_by_a_stand_in(dummy, plan, monkeypatch, kind):
    engine = kind(SHAPES)
    fake_tensorrt(monkeypatch, engine)
    plan.write_bytes(b"plan")
    runtime = seen_runtime.load(str(dummy))  # auto takes it where an engine is
    assert (runtime.backend, runtime.device) == ("tensorrt", "TensorRT 8.2.1")
    inputs = normalised(3, lambda size: np.random.default_rng(0).normal(size=size))
    expected = inputs[0][:, 0, 0, :7] + 2 * inputs[1][:, 0, 0, :7]
    np.testing.assert_array_equal(runtime.logits(*inputs), expected)
    strided = [np.asfortranarray(x) for x in inputs]
    np.testing.assert_array_equal(runtime.logits(*strided), expected)
    engine.fails = True
    with pytest.raises(BackendError, match="expected a window computed, got a failure"):
        runtime.logits(*inputs)


@pytest.mark.parametrize(
    "content, first, words",
    [
        (None, 1, "an engine, got none"),
        (b"of another version", 1, r"an engine for TensorRT 8\.2\.1 here, got another"),
        (b"plan", -1, r".*, got .*\(-1, 4, 90, 90\).*"),
    ],
)
def test_engines_that_are_not_of_this_bundle(
    dummy, plan, monkeypatch, content, first, words
):
    fake_tensorrt(monkeypatch, Engine({**SHAPES, "event_frames": (first, 4, 90, 90)}))
    (dummy / "seen-00000000.engine").write_bytes(b"plan")  # of another seen.onnx
    if content:
        plan.write_bytes(content)
    words = f"{plan.name}: expected {words}; trtexec .*{plan.name} --noTF32"
    with pytest.raises(BundleError, match=words):
        seen_runtime.load(str(dummy), "tensorrt")


def test_auto_takes_no_engine_where_a_hash_is_trusted(dummy, plan, monkeypatch):
    """It lies beside what the hash covers, and anyone could have put it there."""
    fake_tensorrt(monkeypatch, Engine(SHAPES))
    plan.write_bytes(b"plan")
    manifest = seen_runtime.read_manifest(str(dummy))
    names = partial(seen_runtime._candidates, str(dummy), manifest, "auto")
    assert names(None) == ["tensorrt", *names(manifest["sha256"])]
    named = seen_runtime.load(str(dummy), "tensorrt", trust=manifest["sha256"])
    assert named.backend == "tensorrt"


def test_a_gpu_without_memory(dummy, plan, monkeypatch):
    fake_tensorrt(monkeypatch, Engine(SHAPES), status=2)
    plan.write_bytes(b"plan")
    words = "cudaMalloc: expected status 0, got 2; look the number up as cudaError"
    with pytest.raises(BackendError, match=words):
        seen_runtime.load(str(dummy), "tensorrt")
