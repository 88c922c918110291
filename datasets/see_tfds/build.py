"""Builds the dataset of a SEE folder where TensorFlow is not installed.

    python datasets/see_tfds/build.py SEE_DIR DATA_DIR

`tfds build` itself needs TensorFlow; the builder does not, and this calls it.
"""

import argparse
import sys
from pathlib import Path

import tensorflow_datasets as tfds

# As `tfds build` does, so that the builder has the same module name in both.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from see_tfds import see_tfds_dataset_builder
from seen_jax import see


def is_built_from(builder, see_dir: Path, split_file: str) -> bool:
    """Compares clips, segments and source of what is built with those of a folder."""
    split, _ = see.load_split(see_dir / split_file)
    clips = {
        name: [clip.start, clip.end]
        for name, clip in split.clips.items()
        if not clip.left_out
    }
    built = {}
    for records in builder.info.metadata["records"].values():
        built |= dict(zip(records["names"], records["segments"], strict=True))
    source = see_tfds_dataset_builder.load_provenance(see_dir)
    return (clips, source) == (built, builder.info.metadata["provenance"])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="launch/build_see.sh",
        description="Checks a SEE folder and writes its records.",
    )
    parser.add_argument("see_dir", type=Path, help="the SEE folder")
    parser.add_argument("data_dir", type=Path, help="where datasets are kept")
    configs = list(see_tfds_dataset_builder.Builder.builder_configs)
    parser.add_argument(
        "--config", choices=configs, default=configs[0], help="default: %(default)s"
    )
    parser.add_argument("--event_dir", default="event", help="default: %(default)s")
    parser.add_argument("--frame_dir", default="frame", help="default: %(default)s")
    parser.add_argument(
        "--split_file", default="emotion.json", help="default: %(default)s"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="build again what is there"
    )
    args = parser.parse_args(argv)
    builder = see_tfds_dataset_builder.Builder(
        data_dir=args.data_dir,
        config=args.config,
        event_dir=args.event_dir,
        frame_dir=args.frame_dir,
        split_file=args.split_file,
    )
    if builder.data_path.exists() and not args.overwrite:
        same = is_built_from(builder, args.see_dir, args.split_file)
        what = (
            "is there already" if same else f"holds other records than {args.see_dir}"
        )
        print(f"{builder.data_path} {what}; --overwrite builds it again")
        return 0 if same else 1
    mode = "reuse_cache_if_exists" if args.overwrite else "reuse_dataset_if_exists"
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=args.see_dir,
                download_mode=tfds.download.GenerateMode(mode),
                try_download_gcs=False,  # it is not there
            )
        )
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, split in builder.info.splits.items():
        print(f"{name:5} {split.num_examples} clips, {split.num_bytes / 1e6:.1f} MB")
    print(builder.data_path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
