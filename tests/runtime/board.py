"""What is computed under the board's Python 3.6 and here alike, to be compared.

It imports numpy alone: the program comes as an argument, since it has another name on
the board. A frame's name is where it is in the archive of frames.
"""

import json
import sys

import numpy as np

BACKENDS = "native", "torch", "torchscript"
DROPPED = 5  # the event frame that never comes


def prepared(program, manifest, frames):
    """Every frame as the network takes it, for both kinds: name to float32 (90, 90)."""
    runtime = program.Runtime(manifest, "none", "none", None)
    return {
        kind + " " + name: runtime.prepare(kind, image)
        for kind in program.KINDS
        for name, image in frames.items()
    }


def streamed(program, bundle, backend, events, intensities):
    """Plays frames without waiting; returns probabilities, and what was said."""
    stream = program.Stream(program.load(bundle, backend))
    probabilities, said = [], []
    for number, (event, intensity) in enumerate(zip(events, intensities)):  # noqa: B905
        if number != DROPPED:
            stream.push_event(number, event)
        stream.push_intensity(number, intensity)
        prediction = stream.predict()
        if prediction is None:
            said.append(stream.missing)
        else:
            probabilities.append(prediction.probabilities)
            said.append([prediction.number, prediction.emotion])
    said += [stream.counts, stream.events.counts, stream.intensities.counts]
    return np.stack(probabilities), said


def main(folder):
    """Computes all of it in the bundle's folder, of the frames in `folder`."""
    import seen_runtime

    with open(folder + "/manifest.json") as file:
        manifest = json.load(file)
    with np.load(folder + "/frames.npz") as frames:
        images = prepared(seen_runtime, manifest, dict(frames))
    np.savez(folder + "/prepared.npz", **images)
    print("Pillow" if seen_runtime.Image else "no Pillow", sys.version_info[:2])
    if "--images" in sys.argv:
        return
    clip = np.load(folder + "/clip.npy")
    for backend in BACKENDS:
        probabilities, said = streamed(seen_runtime, ".", backend, *clip)
        np.save(folder + "/" + backend + ".npy", probabilities)
        with open(folder + "/" + backend + ".json", "w") as file:
            json.dump(said, file)


if __name__ == "__main__":
    main(sys.argv[1])
