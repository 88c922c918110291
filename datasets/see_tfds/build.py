"""Builds the dataset of a SEE folder where TensorFlow is not installed.

    python datasets/see_tfds/build.py SEE_DIR DATA_DIR

`tfds build` itself needs TensorFlow; the builder does not.
"""

import argparse
import sys
from pathlib import Path

import tensorflow_datasets as tfds

# As `tfds build` does, so that the builder has the same module name in both.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from see_tfds.see_tfds_dataset_builder import Builder
from seen_jax import see_folder
from seen_jax.data import windows
from seen_jax.errors import counted, refuse, run_command


def short_clips(builder: Builder) -> list[str]:
    """Says how many clips are shorter than a window of each published setting."""
    index = builder.info.metadata["records"].values()
    lengths = [end - start for x in index for start, end in x["segments"]]
    counts = {x: sum(n < x.span for n in lengths) for x in windows.SETTINGS}
    return [
        f"shorter than a window of {setting} ({setting.span} frames), repeated "
        f"cyclically as published: {counted(count, 'clip')}"
        for setting, count in counts.items()
        if count
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="launch/build_see.sh",
        description="Checks a SEE folder and writes its records.",
    )
    see_folder.add_folder_arguments(parser)
    parser.add_argument("data_dir", type=Path, help="where datasets are kept")
    configs = list(Builder.builder_configs)
    parser.add_argument(
        "--config", choices=configs, default=configs[0], help="default: %(default)s"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace records that exist already"
    )
    args = parser.parse_args(argv)
    folder = see_folder.folder_from_arguments(args)
    names = {name: getattr(folder, name) for name in see_folder.OPTIONS}
    builder = Builder(data_dir=args.data_dir, config=args.config, **names)
    if builder.data_path.exists() and not args.overwrite:
        if not builder.is_built_from(folder.root):
            rule = f"records of {folder.root}"
            refuse(builder.data_path, rule, "others", "replace them with --overwrite")
        print(f"{builder.data_path} exists already; --overwrite builds it again")
        return 0
    mode = "reuse_cache_if_exists" if args.overwrite else "reuse_dataset_if_exists"
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=folder.root,
            download_mode=tfds.download.GenerateMode(mode),
            try_download_gcs=False,  # it is not there
        )
    )
    for name, split in builder.info.splits.items():
        clips = counted(split.num_examples, "clip")
        print(f"{name:5} {clips}, {split.num_bytes / 1e6:.1f} MB")
    for line in short_clips(builder):
        print(line)
    print(builder.data_path)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
