"""How launch/quickstart.sh ends; stand-ins for its commands note what they get."""

import os
import shutil
import subprocess

import pytest

from tests.helpers import ROOT

# Each call is a line in the file `calls`. The export fails, or writes a bundle with
# some files.
PYTHON = """#!/bin/bash
echo "python $*" >>calls
if [[ $* == *seen_jax.export* ]]; then
  [ "$WRITES" ] || { echo "native: expected a C compiler" >&2; exit 1; }
  mkdir -p folder/bundle
  (cd folder/bundle && touch $WRITES)
fi
"""
NATIVE, ALL = "seen_runtime.py seen.npz", "seen_runtime.py seen.npz seen.onnx"
EXPORT = "python -m seen_jax.export {} --workdir=folder/run --out=folder/bundle"
REPLAY = "python folder/bundle/seen_runtime.py --events=folder/see/event/anger/00 "
REPLAY += "--frames=folder/see/frame/anger/00"


@pytest.fixture
def quickstart(tmp_path):
    """Runs it in a folder of its own; returns it when done, with its calls."""
    for place in ("launch", "bin", "folder/see/event/anger/00"):
        (tmp_path / place).mkdir(parents=True)
    shutil.copy(ROOT / "launch" / "quickstart.sh", tmp_path / "launch")
    (tmp_path / "launch" / "venv.sh").write_text("VENV=.venv\n")
    (tmp_path / "launch" / "build_see.sh").write_text("")
    for name, text in (("python", PYTHON), ("works-cc", "#!/bin/bash\n")):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)

    def run(*arguments, writes, compiler):
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", tmp_path / "launch" / "quickstart.sh", *arguments],
            env=os.environ | {"PATH": path, "CC": compiler, "WRITES": writes},
            capture_output=True,
            text=True,
        )
        return done, (tmp_path / "calls").read_text().splitlines()

    return run


@pytest.mark.parametrize(
    "arguments, command",
    [(["folder"], "bundle"), (["--tiny", "folder"], "bundle"), (["--export"], "torch")],
)
def test_a_bundle_and_a_clip_through_it(quickstart, arguments, command):
    """It names no formats: a rerun keeps those that are installed."""
    arguments = [*arguments, "folder"][:2]
    done, calls = quickstart(*arguments, writes=NATIVE, compiler="works-cc")
    assert (done.returncode, done.stderr) == (0, "")
    assert calls[-2:] == [EXPORT.format(command), REPLAY]
    lines = done.stdout.splitlines()
    assert "bundle          folder/bundle (launch/jetson.md)" in lines
    # How to get other formats, where it was not asked for them.
    hints = [x for x in lines if x.startswith("for TensorRT")]
    again = f"for TensorRT    bash launch/quickstart.sh {' '.join(arguments)} --export"
    assert hints == ([] if command == "torch" else [again])


def test_fields_reach_the_training(quickstart):
    fields = ["--config.network=cnn", "--config.decay=0.5"]
    for export in ([], ["--export"]):
        options = [*fields, *export, "--tiny", "folder"]
        _, calls = quickstart(*options, writes=NATIVE, compiler="works-cc")
        (train,) = [x for x in calls if x.startswith("python train.py")][-1:]
        assert [*fields] == [x for x in train.split() if x in fields]
        assert "--config.num_epochs=1" in train
        assert ("--for_export" in train) == bool(export)
    # Trained all the same, and nothing is wrong: there is no bundle of it.
    assert not any("seen_jax.export" in x for x in calls)


def test_a_network_without_a_bundle(quickstart):
    options = "--config.network=cnn", "folder"
    done, _ = quickstart(*options, writes="", compiler="works-cc")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [x.split("  ")[0] for x in lines if "bundle" in x] == ["no bundle"]
    options = "--config.network=seen", "folder"
    _, calls = quickstart(*options, writes=NATIVE, compiler="works-cc")
    assert any("seen_jax.export" in x for x in calls)


def test_a_bundle_of_all_formats_wants_no_others(quickstart):
    done, _ = quickstart("folder", writes=ALL, compiler="works-cc")
    assert done.returncode == 0 and "for TensorRT" not in done.stdout


@pytest.mark.parametrize(
    "arguments, compiler, code",
    [([], "no-such-cc", 0), ([], "works-cc", 1), (["--export"], "no-such-cc", 1)],
)
def test_an_export_that_fails(quickstart, arguments, compiler, code):
    """The summary comes all the same, without the bundle of an earlier run."""
    quickstart("folder", writes=NATIVE, compiler=compiler)
    done, calls = quickstart("folder", *arguments, writes="", compiler=compiler)
    assert done.returncode == code
    assert done.stderr == "native: expected a C compiler\n"
    assert "seen_jax.export" in calls[-1]
    lines = done.stdout.splitlines()
    assert "report          folder/report.html" in lines
    assert "no bundle       the export says why, above; then rerun this" in lines
    assert not any(x.startswith("bundle ") for x in lines)
    assert lines[-1].startswith("in a new shell  cd ")
