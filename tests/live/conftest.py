"""A bundle for the kernel in C, and one of a function in its place."""

import shutil

import pytest

from seen_jax.export import bundle as export
from seen_jax.runtime import seen_runtime
from tests.runtime.bundles import (
    THREE_LEVELS,
    make_manifest,
    whole_numbers,
    write_manifest,
)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A bundle with the format `native` alone."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("bundle")
    manifest = make_manifest(trained={"epoch": 1})
    export.write_files(folder, whole_numbers(), manifest, ["native"])
    write_manifest(folder, **THREE_LEVELS)
    return folder


@pytest.fixture
def runtime(bundle):
    return seen_runtime.load(str(bundle), "native")
