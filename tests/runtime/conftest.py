"""A bundle of dummy files, one of networks that run, and a clock without waiting."""

import pytest

from seen_jax.runtime import seen_runtime
from tests.runtime.bundles import (
    THREE_LEVELS,
    Clock,
    make_manifest,
    plain_runtime,
    whole_numbers,
    write_manifest,
)


@pytest.fixture
def dummy(tmp_path):
    """A bundle whose files are a few bytes each."""
    for name in seen_runtime.FILES:
        (tmp_path / name).write_bytes(b"these are " + name.encode())
    write_manifest(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def folded():
    """Arrays of the network of `whole_numbers`."""
    return seen_runtime.fold(whole_numbers())


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A bundle of `whole_numbers`, with networks that run."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    torch.set_num_threads(1)  # more of them wait for a busy processor
    from seen_jax.export import bundle

    folder = tmp_path_factory.mktemp("bundle")
    manifest = make_manifest(trained={"epoch": 1})
    bundle.write_files(folder, whole_numbers(), manifest, seen_runtime.FORMATS)
    write_manifest(folder, **THREE_LEVELS)
    return folder


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(seen_runtime, "time", clock)
    return clock


@pytest.fixture
def loaded(monkeypatch):
    """What the command asked to load; it gets a runtime without a network."""
    asked = []

    def load(bundle, backend, trust=None):
        asked.append((bundle, backend))
        return plain_runtime()

    monkeypatch.setattr(seen_runtime, "load", load)
    return asked
