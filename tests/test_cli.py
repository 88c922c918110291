"""The command `seen`: every verb is a command that exists, with the same flags."""

import importlib.util
import re
import subprocess
import sys

import pytest

import seen_jax
from seen_jax import cli
from tests.helpers import ROOT, make_venv, python


def seen(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "seen_jax", *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )


def test_the_readme_names_every_verb():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    words = text.split("`seen VERB` is the table of contents: ")[1]
    assert re.findall("`([a-z]+)`", words.split(" run the ")[0]) == [*cli.VERBS]


@pytest.mark.parametrize("verb", cli.VERBS)
def test_each_verb_is_a_command(verb):
    target = cli.VERBS[verb][1].split()[0]
    if target.endswith(".py"):
        assert (ROOT / target).is_file()
    else:
        assert importlib.util.find_spec(target) is not None
    assert verb in cli.help_text()


def test_help_version_and_what_is_no_verb(tmp_path):
    ran = seen("--help", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, cli.help_text() + "\n")
    assert seen("--version").stdout == seen_jax.__version__ + "\n"
    ran = seen("evaluate")
    assert ran.returncode == 2
    assert ran.stderr.startswith("seen evaluate: expected one of simulate, ")
    assert seen().returncode == 2
    ran = python("-m", "seen_jax.cli", "--help")
    assert (ran.returncode, ran.stdout) == (0, cli.help_text() + "\n")


def test_a_verb_becomes_its_command(tmp_path):
    ran = seen("check", "nowhere", cwd=tmp_path)
    direct = python("-m", "seen_jax.see_folder", "nowhere")
    assert ran.returncode == direct.returncode == 1
    assert (ran.stdout, ran.stderr) == (direct.stdout, direct.stderr)


def test_an_import_has_its_config_wherever_it_runs(tmp_path):
    flags = "--checkpoint=absent.pth", "--workdir=run"
    ran = seen("export", "import", *flags, cwd=tmp_path)
    rule = "torch is not installed"
    if importlib.util.find_spec("torch"):
        rule = "absent.pth: expected a checkpoint, got no file"
    assert ran.returncode == 1 and rule in ran.stderr


@pytest.mark.parametrize("verb", ["train", "eval"])
def test_help_of_a_verb_is_no_error(verb):
    ran = seen(verb, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"{verb}.py" in ran.stdout and "--workdir: Folder of the run" in ran.stdout


def test_configs_come_from_the_package_where_there_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = cli.command("train", ["--config=configs/demo.py", "--workdir=configs/x"])
    place = ROOT / "configs" / "demo.py"
    assert words[1:] == [
        str(ROOT / "train.py"), f"--config={place}", "--workdir=configs/x"
    ]  # fmt: skip
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "demo.py").touch()  # one's own comes first
    words = cli.command("train", ["--config=configs/demo.py"])
    assert "--config=configs/demo.py" in words


@pytest.mark.environments
def test_pip_install(tmp_path):
    """Installs into an environment that sees these packages; runs elsewhere."""
    venv, clone = tmp_path / "venv", tmp_path / "clone"
    pip = [make_venv(venv), "-m", "pip", "install", "--quiet", "--no-deps"]
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in files:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_bytes((ROOT / name).read_bytes())

    def verbs_run():
        for verb in ("train", "build"):
            words = [venv / "bin" / "seen", verb, "--help"]
            ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
            assert ran.returncode == 0 and ran.stdout, ran.stderr

    subprocess.run([*pip, clone], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    names = {x.name for x in (packages / "seen_jax" / "programs").iterdir()}
    assert names - {"__pycache__"} == {"train.py", "eval.py", "configs", "datasets"}
    assert not [*packages.glob("seen_jax/**/test*")]
    verbs_run()
    subprocess.run([*pip, "--editable", clone], check=True)  # in the other's place
    assert not (packages / "seen_jax").exists()
    verbs_run()
