"""The plan of a simulated SEE against the published counts."""

from collections import Counter

import numpy as np
import pytest

from seen_jax import see
from seen_jax.simulator.cast import clip_lengths, plan


@pytest.fixture(scope="module")
def full():
    return plan(see.NUM_VOLUNTEERS, see.NUM_CLIPS, seed=0)


def test_full_set_has_the_published_counts(full):
    assert len(full) == 2405
    assert len({clip.name.volunteer for clip in full}) == 111
    subsets = Counter(clip.subset for clip in full)
    assert subsets == {"training": 1638, "testing": 767}


def test_testing_clips_have_the_published_counts_per_emotion_and_lighting(full):
    testing = [clip.name for clip in full if clip.subset == "testing"]
    emotions = Counter(name.emotion for name in testing)
    lightings = Counter(name.lighting for name in testing)
    published = dict(
        surprise=130, disgust=124, angry=119, fear=113,
        sadness=100, neutral=92, happiness=89,
    )  # fmt: skip
    for emotion, count in published.items():
        assert abs(emotions[emotion] - count) <= 2
    published = dict(Overexposed=201, normal=196, Low=189, HDR=181)
    for lighting, count in published.items():
        assert abs(lightings[lighting] - count) <= 7  # 28 groups, a third of each


@pytest.mark.parametrize("seed", [0, 1])
def test_lengths_have_the_published_mean_spread_and_range(seed):
    lengths = [clip.name.length for clip in plan(111, 2405, seed)]
    assert abs(np.mean(lengths) - see.LENGTH_MEAN) < 0.5
    assert abs(np.std(lengths) - see.LENGTH_STD) < 0.5
    assert (min(lengths), max(lengths)) == (see.LENGTH_MIN, see.LENGTH_MAX)


def test_names_are_unique_parse_and_have_one_lighting_per_volunteer(full):
    names = [str(clip.name) for clip in full]
    assert len(set(names)) == len(names)
    assert [str(see.ClipName.parse(name)) for name in names] == names
    people = {}
    for clip in full:
        person = (clip.name.sex, clip.name.age, clip.name.degree, clip.name.lighting)
        assert people.setdefault(clip.name.volunteer, person) == person
    takes = Counter((clip.name.volunteer, clip.name.emotion) for clip in full)
    for clip in full:
        assert clip.name.take < takes[clip.name.volunteer, clip.name.emotion]


def test_the_seed_decides():
    assert plan(8, 60, 3) == plan(8, 60, 3)
    assert plan(8, 60, 3) != plan(8, 60, 4)


@pytest.mark.parametrize(
    ("volunteers", "clips"), [(1, 1), (1, 9), (2, 5), (3, 3), (16, 220), (111, 111)]
)
def test_small_casts_have_as_many_clips_and_volunteers_as_asked(volunteers, clips):
    planned = plan(volunteers, clips, 0)
    assert len(planned) == clips
    assert len({clip.name.volunteer for clip in planned}) == volunteers


@pytest.mark.parametrize(
    ("volunteers", "clips"), [(0, 5), (6, 5), (-1, 5), (1000, 2000)]
)
def test_impossible_casts_are_refused(volunteers, clips):
    with pytest.raises(ValueError, match=rf"volunteers: expected .* got {volunteers}"):
        plan(volunteers, clips, 0)


def test_lengths_of_few_clips_keep_the_mean():
    assert abs(clip_lengths(20).mean() - 53.5) < 1.5
