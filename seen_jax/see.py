"""The vocabulary of SEE: emotions, lightings, clip names, published statistics.

All facts about the dataset are in this module. A name becomes a `ClipName`.

Note: the class order is the order of `labels` in the split file, not of `EMOTIONS`.

Reference: Zhang et al., "In the Blink of an Eye: Event-based Emotion Recognition",
SIGGRAPH 2023, and the dataset instructions and result files published with it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from seen_jax.errors import UserError, counted, one_of, refuse

EMOTIONS = ("angry", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
LIGHTINGS = ("normal", "Overexposed", "Low", "HDR")  # spelled as the dataset does
SEXES = ("man", "woman")
DEGREES = ("undergraduate", "Master", "Doctor")

NUM_CLIPS = 2405
NUM_TESTING_CLIPS = 767
NUM_VOLUNTEERS = 111
# Frames of a clip, over all clips; the standard deviation and the mean are rounded.
LENGTH_MEAN, LENGTH_STD, LENGTH_MIN, LENGTH_MAX = 53.5, 15.2, 18, 131
FRAMES_PER_S = 30
FRAME_PERIOD_US = 33_333
IMAGE_SIZE = 180  # rows and columns of an image on disk
JPEG_QUALITY = 75
INPUT_SIZE = 90  # rows and columns of an image in the network

# Channel statistics of the whole dataset, 0 to 1, most likely taken after the resize
# to 90 x 90. Reference: the published program's normalisation.
EVENT_MEAN, EVENT_STD = 0.504413, 0.06928615
INTENSITY_MEAN, INTENSITY_STD = 0.22616537, 0.118931554

# In a SEE folder that was simulated: what the simulator was asked for.
PROVENANCE_FILE = "simulation.json"

# Grey levels of an event frame; a JPEG shifts them by a few levels (ringing).
EVENT_OFF, EVENT_NONE, EVENT_ON = 0, 128, 255


@dataclass(frozen=True, order=True)
class ClipName:
    """The fields of a clip's name, in the order in which the name has them.

    `1_001_man_24_Master_normal_angry_45_take000` is sequence 1, volunteer 1, a man of
    24 years with a Master's degree, normal light, angry, 45 frames, take 0.
    `str(ClipName.parse(name)) == name` for every name that parses.
    """

    sequence: int
    volunteer: int
    sex: str
    age: int
    degree: str
    lighting: str
    emotion: str
    length: int
    take: int

    def __str__(self) -> str:
        return (
            f"{self.sequence}_{self.volunteer:03d}_{self.sex}_{self.age}_{self.degree}"
            f"_{self.lighting}_{self.emotion}_{self.length}_take{self.take:03d}"
        )

    @classmethod
    def parse(cls, name: str) -> ClipName:
        """Parses a clip's name.

        Raises:
          UserError: names the first field that breaks its rule.
        """
        what, fields = f"clip name {name!r}", name.split("_")
        if len(fields) != len(_FIELDS):
            rule = f"a clip name of {len(_FIELDS)} fields ({'_'.join(_FIELDS)})"
            refuse(what, rule, counted(len(fields), "field"))
        values: dict[str, Any] = {}
        for (part, (rule, read)), text in zip(_FIELDS.items(), fields, strict=True):
            values[part] = read(text)
            if values[part] is None:
                refuse(what, f"a clip name whose {part} is {rule}", repr(text))
        return cls(**values)


_DIGITS = 9  # so that the number fits the records' int32


def _number(text: str, width: int = 1) -> int | None:
    """Reads decimal digits that were written with `width` digits, zero-padded."""
    plain = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if plain and f"{int(text):0{width}d}" == text else None


def _word(names: tuple[str, ...]):
    return one_of(names), lambda text: text if text in names else None


_NUMBER = f"a number of at most {_DIGITS} digits"
_NUMBER_OF_3 = f"a number of 3 to {_DIGITS} digits"
_FIELDS = {  # field: (rule in words, reader that returns None where the rule is broken)
    "sequence": (_NUMBER, _number),
    "volunteer": (_NUMBER_OF_3, lambda text: _number(text, 3)),
    "sex": _word(SEXES),
    "age": (_NUMBER, _number),
    "degree": _word(DEGREES),
    "lighting": _word(LIGHTINGS),
    "emotion": _word(EMOTIONS),
    "length": (_NUMBER, _number),
    "take": (
        f"`take` and {_NUMBER_OF_3}",
        lambda text: _number(text[4:], 3) if text.startswith("take") else None,
    ),
}


# Of the fields of a name, those that become a clip's metadata.
METADATA_FIELDS = ("volunteer", "sex", "age", "degree", "lighting")


def parse_name(name: str) -> ClipName | None:
    """Returns the fields of a clip's name, None if it is not a name of SEE."""
    try:
        return ClipName.parse(name)
    except UserError:
        return None


def label_from_text(text: Any, labels: Collection[str]) -> str | None:
    """Returns the label that `text` names in any case, None if it names none.

    The dataset's own instructions spell one folder `neutraL`.
    """
    lower = text.lower() if isinstance(text, str) else None
    return next((label for label in labels if label.lower() == lower), None)


def is_see(labels: Collection[str]) -> bool:
    """Says whether the labels are the emotions of SEE, in any order."""
    return {*labels} == {*EMOTIONS}


if __name__ == "__main__":  # an old script's check must not pass unseen
    raise SystemExit("the check of a SEE folder is python -m seen_jax.see_folder")
