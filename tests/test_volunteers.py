"""The split by volunteer."""

import copy
import dataclasses
import random
from collections import Counter

import pytest

from seen_jax import see
from seen_jax.split import SUBSETS, Annotation, Split
from seen_jax.volunteers import split_by_volunteer
from tests import samples

NAME = "1_001_man_24_Master_normal_angry_45_take000"


def a_split(num_volunteers=9):
    """One clip per volunteer and emotion, all of them in training."""
    names = samples.clip_names(num_volunteers)
    notes = (Annotation("training", name.emotion, 0, name.length) for name in names)
    return Split(see.EMOTIONS, dict(zip(map(str, names), notes, strict=True)))


def test_disjoint_and_near_the_share():
    split = a_split(num_volunteers=40)
    divided = split_by_volunteer(split)
    people = [
        {see.ClipName.parse(name).volunteer for name in divided.of_subset(subset)}
        for subset in SUBSETS
    ]
    assert not people[0] & people[1]
    assert people[0] | people[1] == {*range(1, 41)}
    # 767 of 2,405 is .3189; 13 of 40 volunteers with 7 clips each are .325.
    assert len(people[1]) == 13
    assert divided.labels == split.labels


def test_keeps_the_proportions_of_the_lightings():
    testing = split_by_volunteer(a_split(num_volunteers=40)).of_subset("testing")
    counts = Counter(see.ClipName.parse(name).lighting for name in testing)
    assert {counts[x] / 7 for x in see.LIGHTINGS} <= {3, 4}  # 13 volunteers over 4


def test_a_function_of_the_clips_and_the_seed():
    split = a_split()
    shuffled = [*split.clips.items()]
    random.Random(0).shuffle(shuffled)
    shuffled = Split(split.labels, dict(shuffled))
    assert split_by_volunteer(split) == split_by_volunteer(shuffled)
    assert split_by_volunteer(split, 1) == split_by_volunteer(split, 1)
    others = [split_by_volunteer(split, seed) for seed in range(1, 4)]
    assert any(other != split_by_volunteer(split) for other in others)


def test_ignores_the_subsets_and_keeps_segments_and_what_is_left_out():
    split = a_split()
    clips = {
        name: dataclasses.replace(clip, subset="testing", end=clip.end - i % 2)
        for i, (name, clip) in enumerate(split.clips.items())
    }
    clips[NAME] = Annotation("training", "angry", 4, 0)
    before = copy.deepcopy(clips)
    divided = split_by_volunteer(Split(split.labels, clips))
    assert clips == before
    assert divided.clips[NAME].left_out
    for name, clip in divided.clips.items():
        assert (clip.start, clip.end) == (before[name].start, before[name].end)
    subsets = split_by_volunteer(split).clips
    assert all(divided.clips[name].subset == subsets[name].subset for name in subsets)


def test_needs_two_volunteers():
    with pytest.raises(ValueError, match="at least 2 volunteers, got 1"):
        split_by_volunteer(a_split(num_volunteers=1))


def test_divides_by_volunteer():
    entries = {
        f"clip {i}": Annotation("training", x, 0, 9, {"volunteer": who})
        for i, (who, x) in enumerate(
            (who, x) for who in ("Ann", "Ben", 7, "Zoë") for x in ("yes", "no")
        )
    }
    divided = split_by_volunteer(Split(("yes", "no"), entries))
    people = [
        {entries[x].metadata["volunteer"] for x in divided.of_subset(subset)}
        for subset in SUBSETS
    ]
    assert not people[0] & people[1]
    assert people[0] | people[1] == {"Ann", "Ben", 7, "Zoë"}
    assert len(people[1]) == 1  # .25 is nearer to .3189 than .5
    entries["clip 0"] = Annotation("training", "yes", 0, 9)
    with pytest.raises(ValueError, match="'clip 0': expected a volunteer in the"):
        split_by_volunteer(Split(("yes", "no"), entries))
