"""The paper's two tables: their rows, and the runs of them that a folder has.

A run is in FOLDER/<dataset>/<row>/seed_<seed>; its evaluation, which is written last,
says that it is done. FOLDER/recipe.txt holds the flags that all runs have in common.

Reference: published WAR and UAR: Tables 1 and 2 of the paper, of an epoch that was
chosen on the test split.
"""

from __future__ import annotations

import itertools
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seen_jax import files
from seen_jax.errors import refuse
from seen_jax.evaluation import provenance

CONFIG = "config.json"  # of `training.workdir`, which needs JAX
RECIPE = "recipe.txt"  # the flags that all runs of a folder have in common
# Fields that may change from run to run; the records are compared by their digests.
ELSEWHERE = {"data_dir", "store_dir", "images"}
DATASETS = {"published": "the published split", "by_volunteer": "by volunteer"}


@dataclass(frozen=True)
class Row:
    """A network of the paper's tables.

    Attributes:
      name: as the paper has it.
      what: in words.
      flags: of train.py.
      war, uar: published, in percent.
    """

    name: str
    what: str
    flags: str
    war: float
    uar: float


def _setting(num_event_frames: int, skip: int, war: float, uar: float) -> Row:
    name = f"E{num_event_frames}_S{skip}"
    what = f"{num_event_frames} event frames, {skip or 'none'} skipped"
    return Row(name, what, f"--config=configs/{name.lower()}.py", war, uar)


def _variant(name: str, what: str, field: str, war: float, uar: float) -> Row:
    return Row(name, what, f"--config=configs/e4_s3.py --config.{field}", war, uar)


SETTINGS = (
    _setting(4, 0, 78.6, 79.1),
    _setting(4, 1, 80.9, 81.3),
    _setting(4, 3, 83.6, 84.1),
    _setting(7, 0, 79.6, 80.1),
    _setting(7, 1, 82.4, 82.7),
    _setting(13, 0, 82.3, 82.5),
)
VARIANTS = (
    _variant("A", "S sees the first intensity frame", "intensity=first", 81.3, 81.8),
    _variant("B", "S sees the first two", "intensity=first_and_second", 81.8, 82.2),
    _variant("C", "S sees all intensity frames", "intensity=all", 82.9, 83.3),
    _variant("D", "T learns its own kernels", "kernels=own", 82.1, 82.6),
    _variant("E", "T has its own attention", "attention=own", 83.0, 83.2),
    _variant("F", "a CNN in place of the spikes", "network=cnn", 55.7, 55.6),
    _variant("G", "an LSTM", "network=lstm", 55.8, 55.7),
    _variant("H", "a Transformer", "network=transformer", 77.1, 77.3),
    _variant("I", "a 3D CNN", "network=cnn3d", 59.9, 59.9),
    _variant("J", "read out: the last potential", "readout=last_membrane", 81.1, 81.7),
    _variant("K", "read out: the last spike", "readout=last_spike", 63.2, 62.8),
    _variant("L", "read out: the mean spike", "readout=mean_spike", 69.7, 69.5),
)
PUBLISHED = next(row for row in SETTINGS if row.name == "E4_S3")
ROWS = {row.name: row for row in (PUBLISHED, *SETTINGS, *VARIANTS)}
# Fields in which rows differ.
FIELDS = {"num_event_frames", "skip"}
FIELDS |= {row.flags.split(".")[-1].split("=")[0] for row in VARIANTS}
GROUPS = {
    "Settings": SETTINGS,
    "Networks": (replace(PUBLISHED, what="as published"), *VARIANTS),
}


def not_done(
    folder: Path, seeds: Sequence[int], datasets: Sequence[str], names: Sequence[str]
) -> list[str]:
    """Returns the workdir, a tab and the flags of each run that is not done."""
    return [
        f"{workdir}\t{ROWS[name].flags} --config.dataset={dataset} --config.seed={seed}"
        for seed, name, dataset in itertools.product(seeds, names, datasets)
        if not _is_done(workdir := folder / dataset / name / f"seed_{seed}")
    ]


def _is_done(workdir: Path) -> bool:
    return (evaluation_of(workdir) / provenance.FILE).exists()


def evaluation_of(workdir: Path) -> Path:
    return workdir / "evaluation" / "test"


def check_recipe(folder: Path, flags: Sequence[str]) -> None:
    """Keeps the flags that all runs have in common; refuses others once there are runs.

    Raises:
      UserError: the folder is of runs with other flags, or nothing says with which; a
        flag is one that the rows set; or the folder cannot be written.
    """
    of_rows = {x.split("=")[0] for row in ROWS.values() for x in row.flags.split()}
    in_common = []
    for flag in flags:
        name = flag.split("=")[0]
        if name in {*of_rows, "--config.dataset", "--config.seed"}:
            rule = "flags that all runs have in common"
            refuse(flag, rule, "one of a row, split or seed", "see launch/tables.sh")
        if name.removeprefix("--config.") not in ELSEWHERE:
            in_common.append(flag)
    text, path = " ".join(in_common), folder / RECIPE
    files.check_writable(folder)
    if not any(folder.glob("*/*/seed_*/checkpoints/*")):
        with files.explained(path):
            folder.mkdir(parents=True, exist_ok=True)
            files.write_whole(path, text + "\n")
    if (before := recipe(folder)) != text:
        rule = f"the flags of its runs, {before!r}"
        refuse(folder, rule, repr(text), "name another folder")


def recipe(folder: Path) -> str:
    return files.read_text(folder / RECIPE, "write the flags of its runs there").strip()


def check_runs(folder: Path) -> None:
    """Refuses runs on other data, or by another config, than most of a folder have.

    Raises:
      UserError: some are of real data and others are not, the records of a dataset were
        built again from other clips, or configs differ where their rows do not.
    """
    by_source, by_records, configs = defaultdict(list), {}, {}
    for dataset in DATASETS:
        runs = by_records[dataset] = defaultdict(list)
        for directory in (x for name in ROWS for x in done(folder / dataset / name)):
            workdir = directory.parents[1]
            by_source[provenance.read(directory)["source"]].append(workdir)
            if (workdir / CONFIG).exists():
                configs[workdir], records = _read_config(workdir / CONFIG)
                parts = sorted(records.items())
                runs[", ".join(f"{x} {y[:10]}" for x, y in parts)].append(workdir)
    _check_one(folder, "data of one source in all runs", by_source)
    for dataset, runs in by_records.items():
        _check_one(folder, f"the same {dataset} records in all runs", runs)
    rule = "one config of all runs, but for their row"
    _check_one(folder, rule, _by_config(configs, FIELDS))
    for name in ROWS:
        of_row = {path: x for path, x in configs.items() if path.parent.name == name}
        _check_one(folder, f"one config of all runs of {name}", _by_config(of_row))


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the config of a run, and the digests of its records."""
    content = files.read_json(path)
    content = content if isinstance(content, dict) else {}
    parts = [content.get(x) for x in ("config", "records")]
    are_objects = all(isinstance(x, dict) for x in parts)
    if not are_objects or not all(isinstance(x, str) for x in parts[1].values()):
        rule = "the config and the records of a run, as train.py writes them"
        refuse(path, rule, "another form", files.RECOPY)
    return parts[0], parts[1]


def _by_config(
    configs: Mapping[Path, Mapping[str, Any]], but_for: Set[str] = frozenset()
) -> dict[str, list[Path]]:
    """Groups runs by the fields in which they differ; older runs have fewer fields."""
    known = set.intersection(*map(set, configs.values())) if configs else set()
    fields = sorted(known - ELSEWHERE - {"dataset", "seed"} - but_for)
    differing = [
        x for x in fields if len({repr(config[x]) for config in configs.values()}) > 1
    ]
    groups = defaultdict(list)
    for workdir, config in configs.items():
        groups[", ".join(f"{x} {config[x]}" for x in differing)].append(workdir)
    return groups


def _check_one(folder: Path, rule: str, runs: dict[str, list[Path]]) -> None:
    """Refuses all but the largest group of runs, with a command that moves them."""
    if len(runs) <= 1:
        return
    most = max(runs, key=lambda title: len(runs[title]))
    titles = [title for title in runs if title != most]
    others = [path for title in titles for path in runs[title]]
    number = next(i for i in itertools.count(2) if not Path(f"{folder}_{i}").exists())
    other, commands = Path(f"{folder}_{number}"), []
    for row in dict.fromkeys(path.parent for path in others):
        place = other / row.relative_to(folder)
        moved = [path for path in others if path.parent == row]
        commands += [["mkdir", "-p", place], ["mv", *moved, place]]
    commands.append(["cp", folder / RECIPE, other])
    command = " && ".join(shlex.join(map(str, words)) for words in commands)
    names = ", ".join(str(path.relative_to(folder)) for path in others)
    got = f"{' and '.join(titles)} in {names}"
    refuse(folder, f"{rule}, {most}", got, f"move them apart: {command}")


def done(folder: Path) -> list[Path]:
    workdirs = sorted(folder.glob("seed_*"), key=lambda path: (len(path.name), path))
    return [evaluation_of(path) for path in workdirs if _is_done(path)]
