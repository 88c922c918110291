"""The split by volunteer: subsets with nobody in both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from seen_jax import see
from seen_jax.errors import refuse
from seen_jax.split import SUBSETS, Split


def split_by_volunteer(split: Split, seed: int = 0) -> Split:
    """Divides the same clips again so that no volunteer is in both subsets.

    The published split does not keep people apart: 89 of the 111 volunteers are in the
    testing subset. Their clips' sequence numbers have more gaps than there are numbers
    without a clip, so that at least 133 of the 767 clips show someone who is in
    training too.

    The testing share of the emotions and lightings comes near to the published 767 of
    2,405; see `draw_testing`.

    Args:
      split: any split of the clips; its subsets are ignored, clips left out stay so.
      seed: at least 0; the same seed and clips give the same split, in whatever order
        the entries are.

    Raises:
      UserError: as `volunteers_of`, or the seed is negative.
    """
    if seed < 0:
        refuse("seed", "0 or more", seed)
    clips = {x: clip for x, clip in split.clips.items() if not clip.left_out}
    who = volunteers_of(split)
    labels = [clip.label for clip in clips.values()]
    lightings = [x.all_metadata(name).get("lighting", "") for name, x in clips.items()]
    share = Fraction(see.NUM_TESTING_CLIPS, see.NUM_CLIPS)
    testing = draw_testing([*who.values()], labels, share, seed, [lightings])
    divided = {}
    for name, clip in split.clips.items():
        is_testing = clip.all_metadata(name).get("volunteer") in testing
        divided[name] = replace(clip, subset=SUBSETS[is_testing])
    return replace(split, clips=divided)


def volunteers_of(split: Split) -> dict[str, str | int]:
    """Returns the volunteer of each clip that is not left out.

    Raises:
      UserError: a clip has none, or all have the same: they cannot be divided.
    """
    who = {
        name: clip.all_metadata(name).get("volunteer", "")
        for name, clip in split.clips.items()
        if not clip.left_out
    }
    what, remedy = "split by volunteer", "use the folder's split"
    if nobody := [name for name, volunteer in who.items() if volunteer == ""]:
        rule = "a volunteer in the name or the metadata"
        got = "none" if len(nobody) == 1 else f"none, as in {len(nobody) - 1} more"
        refuse(f"{what}: clip {nobody[0]!r}", rule, got, remedy)
    if (count := len({*who.values()})) < 2:
        refuse(what, "clips of at least 2 volunteers", count, remedy)
    return who


def draw_testing(
    volunteers: Sequence[str | int],
    labels: Sequence[Hashable],
    share: Fraction,
    seed: int,
    others: Sequence[Sequence[Hashable]] = (),
) -> set[str | int]:
    """Chooses the volunteers whose clips are for testing.

    Draws 256 random orders of the volunteers, cuts each where the testing share of the
    labels comes nearest to `share`, and keeps the one whose shares of the labels and
    the other groups come nearest to it.

    Args:
      volunteers, labels: of each clip.
      share: of the clips, 0 to 1.
      seed: at least 0.
      others: further groups of each clip, such as its lighting.

    Returns:
      At least one volunteer, and not all of two or more.
    """
    # Numbers before names: the two have no order among them.
    people = sorted({*volunteers}, key=lambda who: (isinstance(who, str), who))
    counts = np.hstack([_counts(people, volunteers, x) for x in (labels, *others)])
    num_labels = len({*labels})
    # Whole numbers: no rounding decides.
    total = share.numerator * counts.sum(axis=0)
    rng = np.random.Generator(np.random.PCG64(seed))
    least, testing = None, []
    for _ in range(256):
        order = rng.permutation(len(people))
        sums = share.denominator * counts[order].cumsum(axis=0)
        distances = np.abs(sums - total)[: max(1, len(people) - 1)]
        cut = int(distances[:, :num_labels].sum(axis=1).argmin())
        distance = distances[cut].sum()
        if least is None or distance < least:
            least, testing = distance, order[: cut + 1]
    return {people[row] for row in testing}


def _counts(people: Sequence, volunteers: Sequence, groups: Sequence) -> np.ndarray:
    """Counts each person's clips in each group: int64 (people, different groups)."""
    counts = Counter(zip(volunteers, groups, strict=True))
    columns = dict.fromkeys(groups)
    return np.array([[counts[who, x] for x in columns] for who in people], np.int64)
