"""Which module may import which, read from the source, imports in functions included.

Imports run downwards only. A module's layer is the longest prefix of its name in
`LAYERS`; it may import modules of the layers before it, and of its own package.
"""

import ast
import graphlib
import re
from pathlib import Path

import pytest

import seen_jax
from tests.helpers import run_without

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "seen_jax").rglob("*.py"))
MODULES = [path for path in SOURCES if path.name != "__init__.py"]

LAYERS = [  # from the bottom up; those of one line may not import each other
    {"errors", "palette", "svg"},
    {"absl_command", "files", "memory", "processes", "staleness"},
    {"see", "problems"},
    {"images", "events", "metrics", "models.surrogate", "data.windows", "split"},
    {"volunteers", "clip_files", "cameras", "models.lif", "runtime.seen_runtime"},
    {"see_folder"},
    {"models", "data", "simulator"},
    {"event_folder", "cameras.simulated"},
    {"protocol", "curves", "recording_table"},
    {"recordings"},
    {"training"},
    {"evaluation"},
    {"export", "runtime"},
    {"adapt"},
    {"benchmarks", "live", "cli"},
    {"__main__"},
]
NO_JAX = {"errors", "files", "processes", "see", "problems", "split", "volunteers"}
NO_JAX |= {"clip_files", "see_folder", "images", "events", "event_folder", "cameras"}
NO_JAX |= {"recording_table", "recordings", "cli", "metrics", "data.windows", "runtime"}
NO_JAX |= {"staleness", "live", "palette", "absl_command"}
ALLOWED = {  # package: the modules (by prefix) that may import it
    "tensorflow": set(),
    "apache_beam": set(),
    "torch": {"export", "runtime", "benchmarks"},
    "onnx": {"export", "runtime", "benchmarks"},
    "onnxruntime": {"export", "runtime", "benchmarks"},
    "tensorflow_datasets": {"data"},
    "grain": {"data"},
    "dv_processing": {"cameras"},
    "h5py": {"cameras.arrays"},
    "rosbags": {"cameras.rosbag"},
    "aiohttp": {"live.page"},
    "imageio_ffmpeg": {"live.film"},
    "datasets": set(),  # an installed Hugging Face `datasets` would come first
}


def module_name(path):
    return ".".join(path.relative_to(ROOT / "seen_jax").with_suffix("").parts)


def imports(path):
    """Yields all modules that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name, prefixes):
    return any(name == x or name.startswith(f"{x}.") for x in prefixes)


def layer(name):
    levels = [
        (len(prefix), level)
        for level, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if within(name, {prefix})
    ]
    assert levels, f"{name}: add it to LAYERS"
    return max(levels)[1]


def own_imports(path):
    """Yields the modules of seen_jax that a file imports."""
    for name in imports(path):
        if within(name, {"seen_jax"}):
            parts = name.split(".")[1:]
            while parts and not (
                (ROOT / "seen_jax" / Path(*parts)).with_suffix(".py").is_file()
            ):
                parts = parts[:-1]
            if parts:
                yield ".".join(parts)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_run_downwards(path):
    name = module_name(path)
    for other in own_imports(path):
        same_package = "." in name and name.split(".")[0] == other.split(".")[0]
        if not same_package:
            assert layer(other) < layer(name), f"{name} imports {other}"


def test_no_import_circle():
    graph = {module_name(path): {*own_imports(path)} for path in MODULES}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the modules


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_packages_stay_in_their_rooms(path):
    name = module_name(path)
    for imported in imports(path):
        package = imported.split(".")[0]
        if package in ALLOWED:
            assert within(name, ALLOWED[package]), f"{name} imports {package}"
        if within(name, NO_JAX):
            assert package not in ("jax", "flax", "optax"), f"{name} imports {package}"


def test_tensorflow_is_needed_nowhere():
    files = [*ROOT.glob("*.py"), *(ROOT / "configs").glob("*.py"), *SOURCES]
    files += (ROOT / "datasets").rglob("*.py")
    for path in files:
        packages = {name.split(".")[0] for name in imports(path)}
        assert not packages & {"tensorflow", "apache_beam"}, path


def test_inits_import_nothing():
    for path in SOURCES:
        if path.name == "__init__.py":
            assert list(imports(path)) == [], path


def test_tests_share_through_modules_that_are_no_tests():
    for path in (ROOT / "tests").rglob("*.py"):
        for name in imports(path):
            is_test = name.startswith("tests.") and ".test_" in name
            assert not is_test, f"{path} imports {name}"


def test_every_process_names_the_tests_alike():
    """A set is written in another order by each process, and xdist compares names."""
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if "ids" in {x.arg for x in getattr(node, "keywords", [])}:
                sets = {ast.Set, ast.SetComp} & {type(x) for x in ast.walk(node)}
                assert not sets, f"{path}: {node.lineno}"


def test_einsum_uses_the_declared_letters():
    declared = {*re.findall(r"\b[A-Z]\b", seen_jax.__doc__)}
    for path in MODULES:
        if module_name(path) == "runtime.seen_runtime":  # copied alone to a board
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if getattr(getattr(node, "func", None), "attr", "") == "einsum":
                letters = {*re.findall("[A-Za-z]", node.args[0].value)}
                assert letters <= declared, f"{path}: {letters - declared}"


def test_no_name_is_found():
    """Names say what a thing is."""
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, "id", getattr(node, "arg", ""))
            assert name != "found", f"{path}: {node.lineno}"


def test_the_model_runs_where_tfds_and_grain_are_absent():
    imported = "seen_jax.models.seen, seen_jax.models.baselines, seen_jax.images"
    imported += ", seen_jax.training.optimizer, seen_jax.training.step"
    run_without("tensorflow_datasets grain tensorflow torch", f"import {imported}")
