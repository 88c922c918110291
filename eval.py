"""Evaluates a run.

    python eval.py --workdir=RUN [--split=test] [--passes=20] [--out=DIR] [--step=N]
        [--export_dir=BUNDLE]

Restores the checkpoint that counts, shows it the split by the published protocol,
writes a result file per pass and prints the report on them. With --export_dir also
writes its weights for torch and the Jetson, see python -m seen_jax.export.
"""

import shlex
import sys
from pathlib import Path

import jax
from absl import app, flags, logging

from seen_jax import protocol
from seen_jax.evaluation import report, run, writing
from seen_jax.export import bundle
from seen_jax.runtime import seen_runtime

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_SPLIT = flags.DEFINE_string("split", "test", " or ".join(run.ALL_SPLITS))
_PASSES = flags.DEFINE_integer("passes", protocol.NUM_PASSES, "Each with new windows.")
_OUT = flags.DEFINE_string(
    "out", None, "Folder of the result files; default: RUN/evaluation/SPLIT_STEP."
)
_STEP = flags.DEFINE_integer(
    "step", None, "Of the checkpoint; default: the one that counts."
)
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir", None, "Folder of a bundle for torch and the Jetson; default: none."
)
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder in which compiled predictions are kept; default: beside the workdir.",
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"flags: expected --NAME=VALUE, got {argv[1:]}")
    if _PASSES.value < 1:
        raise ValueError(f"passes: expected 1 or more, got {_PASSES.value}")
    if _EXPORT_DIR.value:
        bundle.check_ready(_EXPORT_DIR.value)
    logging.set_verbosity(logging.ERROR)
    beside = Path(_WORKDIR.value).resolve().parent / "compilation_cache"
    jax.config.update("jax_compilation_cache_dir", _CACHE.value or str(beside))
    restored = run.restore(_WORKDIR.value, _SPLIT.value, _STEP.value)
    if _EXPORT_DIR.value:
        bundle.check_published(restored.model)
    out = Path(_OUT.value or writing.default_directory(restored))
    command = shlex.join(["eval.py", *sys.argv[1:]])
    writing.write_evaluation(restored, out, _PASSES.value, command)
    print(report.to_text(report.summarise_directories([out])))
    print(f"\n{out}")
    if _EXPORT_DIR.value:
        print(f"\n{bundle.to_text(bundle.write_bundle(restored, _EXPORT_DIR.value))}")
        print(f"\n{_EXPORT_DIR.value}")


def start(argv: list[str]) -> str | None:
    """Calls `main`; an error that says what was expected needs no traceback."""
    try:
        return main(argv)
    except (*seen_runtime.ERRORS, ModuleNotFoundError) as error:
        if ": expected " not in str(error):
            raise
        return f"eval.py: {error}"


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir"])
    app.run(start)
