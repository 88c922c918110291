"""Evaluates a run.

    python eval.py --workdir=RUN [--split=test] [--passes=20] [--out=DIR] [--step=N]
        [--export_dir=BUNDLE] [--data_dir=DIR]

Restores the selected checkpoint, shows it the split by the published protocol, writes a
result file per pass and prints the report on them. With --export_dir it also writes the
weights for torch and the Jetson, as python -m seen_jax.export bundle does.
"""

import shlex
import sys
from pathlib import Path

import jax
from absl import flags, logging

from seen_jax import absl_command, memory
from seen_jax.evaluation import folder, observe, report, restored, summaries
from seen_jax.export import bundle
from seen_jax.protocol import NUM_PASSES, check_passes
from seen_jax.runtime import seen_runtime

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Where the records are, if they are not where they were."
)
_STORE_DIR = flags.DEFINE_string(
    "store_dir", None, "Where decoded frames are kept; default: as in the training."
)
_SPLIT = flags.DEFINE_string("split", "test", " or ".join(restored.SPLITS))
_PASSES = flags.DEFINE_integer("passes", NUM_PASSES, "Each with new windows.")
_OUT = flags.DEFINE_string(
    "out", None, "Folder of the result files; default: RUN/evaluation/SPLIT_STEP."
)
_STEP = flags.DEFINE_integer("step", None, "Of the checkpoint; default: the selected.")
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir", None, "Folder of a bundle for torch and the Jetson; default: none."
)
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder in which compiled predictions are kept; default: beside the workdir.",
)


def main() -> None:
    check_passes(_PASSES.value)
    if _EXPORT_DIR.value:
        bundle.check_ready(_EXPORT_DIR.value)
    logging.set_verbosity(logging.ERROR)
    memory.keep_freed()
    beside = Path(_WORKDIR.value).resolve().parent / "compilation_cache"
    jax.config.update("jax_compilation_cache_dir", _CACHE.value or str(beside))
    run = restored.restore(_WORKDIR.value, _STEP.value)
    if _EXPORT_DIR.value:
        bundle.check_network(run.model)
    out = Path(_OUT.value or folder.default_folder(run.facts, _SPLIT.value))
    folder.check(out, _PASSES.value)  # opening may decode all clips
    places = _DATA_DIR.value, _STORE_DIR.value
    batches = restored.open_batches(run, _SPLIT.value, *places)
    folder.prepare(out, _PASSES.value)
    probabilities = restored.evaluate(run, batches, _PASSES.value)
    observed = observe.observe_clips(run.model, run.variables, batches)
    command = shlex.join(["eval.py", *sys.argv[1:]])
    folder.write(run, _SPLIT.value, batches, probabilities, observed, out, command)
    print(report.to_text(summaries.summarise_directories([out])))
    print(f"\n{out}")
    if _EXPORT_DIR.value:
        manifest = bundle.write_bundle(run, batches, _EXPORT_DIR.value)
        print(f"\n{bundle.to_text(manifest)}\n\n{_EXPORT_DIR.value}")


if __name__ == "__main__":
    absl_command.run(main, ["workdir"], also=seen_runtime.ERRORS)
