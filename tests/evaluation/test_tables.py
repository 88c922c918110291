"""The paper's tables: which runs are left, what the page says, and how orders agree."""

import json
import os
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from scipy import stats

from seen_jax import files, see
from seen_jax.errors import UserError
from seen_jax.evaluation import provenance, statistics, table_runs, tables
from seen_jax.evaluation.results import write_results
from tests.helpers import ROOT
from tests.samples import clip_names, facts_of, results_of

NAMES = clip_names(num_volunteers=6)  # 42 clips


def write(workdir, num_wrong, source="simulated (hard)", records=None, **fields):
    """An evaluation of one pass in which so many clips, from the first, are wrong."""
    out = table_runs.evaluation_of(workdir)
    out.mkdir(parents=True)
    right = results_of(NAMES, [[0] * len(NAMES)]).label_index
    wrong = np.arange(len(NAMES)) < num_wrong
    probabilities = np.eye(7)[None, np.where(wrong, (right + 1) % 7, right)]
    write_results(out, [*map(str, NAMES)], see.EMOTIONS, probabilities)
    facts = facts_of(see.EMOTIONS, source=source, passes=1, choice="the last epoch")
    provenance.write(out, facts)
    if records:
        config = {"seed": int(workdir.name[5:]), "data_dir": records, **fields}
        content = {"config": config, "records": {"train": 64 * "0", "test": records}}
        (workdir / "config.json").write_text(json.dumps(content))


def test_runs_that_are_left(tmp_path):
    write(tmp_path / "published" / "A" / "seed_1", 0)
    left = table_runs.not_done(tmp_path, [1, 2], ["published"], ["E4_S3", "A"])
    assert [line.split("\t")[0] for line in left] == [
        f"{tmp_path}/published/{x}"
        for x in ("E4_S3/seed_1", "E4_S3/seed_2", "A/seed_2")
    ]
    both = table_runs.not_done(tmp_path, [1], ["published", "by_volunteer"], ["A", "F"])
    assert [line.split("/seed_")[0] for line in both] == [
        f"{tmp_path}/{x}" for x in ("by_volunteer/A", "published/F", "by_volunteer/F")
    ]
    assert left[-1].split("\t")[1].split() == [
        "--config=configs/e4_s3.py",
        "--config.intensity=first",
        "--config.dataset=published",
        "--config.seed=2",
    ]


def test_the_flags_are_those_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    for row in table_runs.VARIANTS:
        published = f"{row.war}/{row.uar} | `{row.flags.split()[1]}` |"
        assert f"| {row.name} | " in readme and published in readme
    for row in table_runs.SETTINGS:
        path = ROOT / row.flags.removeprefix("--config=")
        assert f"published   WAR {row.war}, UAR {row.uar}" in path.read_text()


def test_the_page(tmp_path):
    # Of 42 clips 4 and 8 are wrong: 90.48 and 80.95 %, mean 85.7, standard deviation
    # 9.52 / sqrt(2) = 6.7.
    table_runs.check_recipe(tmp_path, ["--config.num_epochs=20"])
    for seed, num_wrong in ((1, 4), (2, 8)):
        write(tmp_path / "published" / "E4_S3" / f"seed_{seed}", num_wrong)
    # In the published order but for the last two.
    for row, num_wrong in zip("CABLK", (10, 12, 11, 21, 20), strict=True):
        write(tmp_path / "published" / row / "seed_1", num_wrong)
    tables.main(["page", str(tmp_path)])
    text = (tmp_path / "tables.md").read_text()
    assert "on simulated (hard) data" in text and "`--config.num_epochs=20`" in text
    lines = [line for line in text.splitlines() if line.startswith("| E4_S3 |")]
    assert len(lines) == 2 and all("| 2 | 85.7 ± 6.7 [" in line for line in lines)
    assert lines[0].endswith("| 83.6/84.1 |")
    (row,) = (line for line in text.splitlines() if line.startswith("| A |"))
    assert "| 1 | 71.4 [" in row
    assert "6 rows: rank correlation (Spearman) 0.94, 95 % interval " in text
    assert "1 row: not computed below 5 rows." in text  # of the settings
    counts = {line.count("|") for line in text.splitlines() if line.startswith("| ")}
    assert len(counts) == 1
    page = (tmp_path / "tables.html").read_text()
    assert "6 rows: rank correlation (Spearman) 0.94, 95 % interval " in page
    rows = re.findall("<tr.*?</tr>", page)
    (row,) = (x for x in rows if ">A: S sees the first" in x)  # of one split
    cells = [re.sub("<.*?>", "", x) for x in re.findall("<td.*?</td>", row)]
    assert (cells[0], *cells[2:4], cells[-1]) == ("1", "71.4", "-", "81.8")
    assert "paper&#x27;s tables on simulated (hard) data" in page


def test_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, 6, (2, 9))  # some are equal
        rho, interval = statistics.rank_correlation(x, y)
        assert rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        assert interval.low < rho < interval.high
    assert statistics.rank_correlation([1, 2, 3, 4], [2, 4, 6, 8]) == (1, None)
    assert np.isnan(statistics.rank_correlation([1, 1, 1, 1], [1, 2, 3, 4])[0])


def test_the_interval_holds_the_truth():
    # Of normal pairs with correlation r, Spearman's is 6 / pi asin(r / 2).
    rng, r, number = np.random.default_rng(1), 0.6, 13
    truth, held = 6 / np.pi * np.arcsin(r / 2), 0
    for _ in range(2000):
        x, e = rng.standard_normal((2, number))
        _, interval = statistics.rank_correlation(x, r * x + np.sqrt(1 - r**2) * e)
        held += interval is not None and interval.low <= truth <= interval.high
    assert 0.93 <= held / 2000 <= 0.97


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs", "F", "--seeds=a"], "--seeds: expected seeds from 0"),
        (["runs", "F", "--rows=E4_S3 Z"], "--rows: expected some of E4_S3"),
        (["runs", "F", "--splits="], "--splits: expected some of published"),
        (["runs", "F", "--", "--config.seed=9"], "config.seed=9: expected flags that"),
        (["runs", "F", "--", "--config.network=cnn"], "network=cnn: expected flags th"),
        (["page", "F"], "F: expected evaluated runs, got none; bash launch/tables.sh"),
    ],
)
def test_bad_arguments(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        tables.main(arguments)
    assert not (tmp_path / "F").exists()


def test_one_folder_has_one_recipe_and_one_source(tmp_path):
    two, three = (f"--config.num_epochs={x}" for x in (2, 3))
    table_runs.check_recipe(tmp_path, [three])  # a slip, before there is any run
    table_runs.check_recipe(tmp_path, [two, "--config.images=store"])
    (tmp_path / "published" / "A" / "seed_1" / "checkpoints" / "3").mkdir(parents=True)
    table_runs.check_recipe(tmp_path, [two, "--config.images=device"])
    with pytest.raises(UserError, match=f"{two}.*got.*{three}.*name another"):
        table_runs.check_recipe(tmp_path, [three])
    (tmp_path / "recipe.txt").unlink()
    with pytest.raises(UserError, match=r"recipe.txt: .*; write the flags of its runs"):
        table_runs.check_recipe(tmp_path, [two])
    shutil.rmtree(tmp_path / "published")
    write(tmp_path / "published" / "A" / "seed_1", 1, records="a")
    write(tmp_path / "published" / "B" / "seed_1", 1, source="real", records="b")
    rule = r"data of one source in all runs, simulated \(hard\), got real in "
    with pytest.raises(UserError, match=f"{rule}published/B/seed_1; move them apart"):
        tables.read(tmp_path)


def test_other_records_of_the_same_name_and_source_are_refused(tmp_path):
    folder = tmp_path / "the tables"
    table_runs.check_recipe(folder, [flag := "--config.data_dir=D"])
    for row, seed, records in (("A", 1, "a"), ("A", 2, "b"), ("C", 1, "a")):
        write(folder / "published" / row / f"seed_{seed}", 1, records=64 * records)
    # Those of another dataset are others, and of an old run they are not known.
    write(folder / "by_volunteer" / "A" / "seed_1", 1, records=64 * "c")
    write(folder / "published" / "B" / "seed_1", 1)
    words = (
        "expected the same published records in all runs, test aaaaaaaaaa, train "
        "0000000000, got test bbbbbbbbbb, train 0000000000 in published/A/seed_2; "
    )
    for arguments in (["page", str(folder)], ["runs", str(folder), "--", flag]):
        with pytest.raises(UserError, match=words) as error:
            tables.main(arguments)
    # What it says to do can be pasted, and then both folders have a page.
    command = str(error.value).split("move them apart: ")[1]
    subprocess.run(["bash", "-c", command], check=True)
    for place, seeds in ((folder, "1"), (tmp_path / "the tables_2", "2")):
        tables.main(["page", str(place)])
        workdirs = (place / "published" / "A").iterdir()
        assert [x.name for x in workdirs] == [f"seed_{seeds}"]


def test_runs_of_another_config_are_refused(tmp_path):
    (tmp_path / "recipe.txt").write_text("")
    common = {"records": "a", "num_epochs": 20, "intensity": "first_and_last"}

    def place(row, seed):
        return tmp_path / "published" / row / f"seed_{seed}"

    for seed in (1, 2):
        write(place("E4_S3", seed), 1, **common, newer=1)
    write(place("A", 1), 1, **common | {"intensity": "first"})  # when `newer` was not
    tables.read(tmp_path)
    for row, other, rule in (
        ("B", {"num_epochs": 2}, "of all runs, but for their row, num_epochs 20, got "),
        (
            "E4_S3",
            {"intensity": "all"},
            "of all runs of E4_S3, intensity first_and_",
        ),
    ):
        write(place(row, 3), 1, **common | other)
        with pytest.raises(UserError, match=f"one config {rule}.*{row}/seed_3; move"):
            tables.read(tmp_path)
        shutil.rmtree(place(row, 3))
    for text in ("{}", "[1]", '{"config": {}, "records": {"train": 3}}', "{"):
        (place("A", 1) / "config.json").write_text(text)
        with pytest.raises(UserError, match=r"A/seed_1/config.json: expected "):
            tables.read(tmp_path)


def test_two_programs_take_turns_at_the_page(tmp_path, monkeypatch):
    """The second one waits for a page that is being written."""
    table_runs.check_recipe(tmp_path, [])
    write(tmp_path / "published" / "A" / "seed_1", 1)
    order, tries, (held, read) = [], threading.Event(), (files.held, tables.read)
    monkeypatch.setattr(files, "held", lambda path: (tries.set(), held(path))[1])
    monkeypatch.setattr(
        tables, "read", lambda path: (order.append("read"), read(path))[1]
    )
    page = threading.Thread(target=tables.main, args=[["page", str(tmp_path)]])
    with held(tmp_path / "recipe.txt"):
        page.start()
        assert tries.wait(60)
        page.join(0.2)
        order.append("released")
    page.join(60)
    assert order == ["released", "read"] and (tmp_path / "tables.html").exists()


def test_the_script(tmp_path):
    """It runs what is left, and names a run that fails; the programs are stubs."""
    stub, out = tmp_path / "python", tmp_path / "two words"
    stub.write_text(
        '#!/usr/bin/env bash\nif [ "$1" = -m ]; then exec python "$@"; fi\n'
        f'printf "<%s>" "$@" >> {tmp_path}/log; echo >> {tmp_path}/log\n'
        'run="${2#--workdir=}"\nmkdir -p "$run"\n'
        f"[[ $1 != eval.py || ! -e {tmp_path}/real ]] || "
        f'cp -r {tmp_path}/real/evaluation "$run"\n'
        "[[ $* != train.py*/F/* ]]\n"
    )
    stub.chmod(0o755)
    write(out / "published" / "A" / "seed_1", 0)
    script = ["bash", "launch/tables.sh", out, "--seeds=1", "--rows=A F E"]
    script += ["--splits=published", "--epochs=2", "--config.data_dir=D"]
    env = {"PYTHON": str(stub), "PATH": os.environ["PATH"]}

    def start(*more):
        (tmp_path / "log").unlink(missing_ok=True)
        return subprocess.run(
            [*script, *more], cwd=ROOT, env=env, capture_output=True, text=True
        )

    done = start()
    failed, workdir = (f"{out}/published/{x}/seed_1" for x in "FE")
    assert done.returncode == 1 and f"{failed}: failed" in done.stderr
    recipe = ["--config.num_epochs=2", "--config.eval_every=2"]
    of_split = ["--config.dataset=published", "--config.seed=1"]

    def train(workdir, field):
        row = ["--config=configs/e4_s3.py", f"--config.{field}", *of_split]
        # absl wants --config before its fields.
        flags = [f"--workdir={workdir}", *row, *recipe, "--config.data_dir=D"]
        return ["train.py", *flags]

    evaluate = ["eval.py", f"--workdir={workdir}", f"--out={workdir}/evaluation/test"]
    expected = [train(failed, "network=cnn"), train(workdir, "attention=own"), evaluate]
    assert (tmp_path / "log").read_text().splitlines() == [
        "".join(f"<{x}>" for x in command) for command in expected
    ]
    assert (out / "recipe.txt").read_text() == " ".join(recipe) + "\n"
    text = (out / "tables.md").read_text()
    assert "| A | S sees" in text and "split: 42 clips of 6 people" in text
    for more, message in (("--what", "expected --seeds"), ("--epochs=a", "a number")):
        again = start(more)
        assert again.returncode == 2 and message in again.stderr
    write(out / "published" / "B" / "seed_1", 0, source="real")
    mixed = start("--rows=B")  # nothing is left to run, and no page can be written
    assert mixed.returncode == 1 and "data of one source" in mixed.stderr
    shutil.rmtree(out / "published" / "B")
    tries = start("--seeds=2 3 4 5", "--rows=F")
    assert tries.returncode == 1 and tries.stderr.count("failed, see above") == 3
    assert (tmp_path / "log").read_text().count("train.py") == 3
    # Where a run's data are others, so will be those of the next ones.
    write(tmp_path / "real", 0, source="real")
    other = start("--seeds=2", "--rows=C D E")
    assert other.returncode == 1 and "got real in published/C/seed_2" in other.stderr
    assert (tmp_path / "log").read_text().count("train.py") == 1
