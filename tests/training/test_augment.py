"""Each kind does what it says, by (seed, epoch, clip) alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from seen_jax.errors import UserError
from seen_jax.training import augment, setup
from tests.helpers import build_records
from tests.training.runs import run_whole

ALL = "shift=3,rotation=10,scale=0.1,mirror=0.5,brightness=0.1,contrast=0.2,dropout=0.2"
ALL += ",noise=0.1"
SIZE, STEPS = 20, 3  # of an image; of an epoch


def make_batch(num_windows=8):
    rng = np.random.default_rng(0)
    levels = np.array([0, 128, 255], np.uint8)
    shape = (SIZE, SIZE)
    return {
        "event_frames": rng.choice(levels, (num_windows, 3, *shape), p=(0.2, 0.6, 0.2)),
        "intensity_frames": rng.integers(60, 190, (num_windows, 2, *shape), np.uint8),
        "label": np.arange(num_windows, dtype=np.int32),
        "clip": np.arange(10, 10 + num_windows, dtype=np.int32),
    }


def changed(text, batch, step=0, seed=1):
    fn = jax.jit(augment.make_augment(augment.parse(text), seed, STEPS))
    return jax.device_get(fn(batch, jnp.int32(step)))


def pairs(text):
    """The frames of each window, before and after: events, then intensities."""
    before = make_batch()
    after = changed(text, before)
    for i in range(len(before["clip"])):
        yield [
            (x["event_frames"][i], x["intensity_frames"][i]) for x in (before, after)
        ]


def test_a_window_depends_on_seed_epoch_and_clip_alone():
    batch = make_batch()
    first = changed(ALL, batch)
    order = np.array([5, 2, 2])  # another batch, in another place of the epoch
    part = changed(ALL, {name: x[order] for name, x in batch.items()}, STEPS - 1)
    for name in batch:
        np.testing.assert_array_equal(part[name], first[name][order])
        assert part[name].dtype == batch[name].dtype
    others = [changed(ALL, batch, STEPS), changed(ALL, batch, seed=2)]
    others.append(changed(ALL, batch | {"clip": batch["clip"] + 1}))
    for other in others:
        for name in ("event_frames", "intensity_frames"):
            assert (other[name] != first[name]).mean() > 0.1


@pytest.mark.parametrize("kind", augment.MOST)
def test_an_amount_of_0_changes_nothing(kind):
    for before, after in pairs(f"{kind}=0"):
        for x, y in zip(before, after, strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_shift_is_the_same_for_all_event_frames_and_has_no_events_behind_it():
    shifts = set()
    for (before, _), (after, _) in pairs("shift=3"):
        matches = []
        for y in range(-3, 4):
            for x in range(-3, 4):
                padded = np.pad(before, ((0, 0), (3, 3), (3, 3)), constant_values=128)
                moved = padded[:, 3 - y : 3 - y + SIZE, 3 - x : 3 - x + SIZE]
                if np.array_equal(moved, after):
                    matches.append((y, x))
        assert len(matches) == 1
        shifts |= {*matches}
    assert len(shifts) > 4


def test_a_turn_scales_and_turns_about_the_centre():
    """A ramp stays a ramp; its slopes are those of the turned and scaled plane."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    ramp = np.rint(128 + 8 * axis[:, None] + 0 * axis[None]).astype(np.uint8)
    batch = make_batch()
    batch["intensity_frames"] = np.broadcast_to(ramp, (8, 2, SIZE, SIZE))
    inner = slice(5, 15)
    for text, turns, scales in (
        ("rotation=30", 30, 0),
        ("scale=0.3", 0, 0.3),
        ("rotation=30,scale=0.3", 30, 0.3),
    ):
        drawn = []
        for image in changed(text, batch)["intensity_frames"][:, 1]:
            part = image[inner, inner].astype(float)
            assert abs(image[9:11, 9:11].mean() - 128) <= 1
            down, right = (np.diff(part, axis=axis).mean() for axis in (0, 1))
            angle, size = np.degrees(np.arctan2(right, down)), np.hypot(right, down) / 8
            assert abs(angle) <= turns + 1 and abs(1 / size - 1) <= scales + 0.02
            drawn.append((angle, size))
        spread = np.std(drawn, axis=0)
        assert (spread > (5, 0.05)).tolist() == [turns > 0, scales > 0]


def test_mirrored_and_the_polarity_stays():
    for before, after in pairs("mirror=1"):
        for x, y in zip(before, after, strict=True):
            np.testing.assert_array_equal(y, x[..., ::-1])
    num_mirrored = sum(
        not np.array_equal(before[0], after[0]) for before, after in pairs("mirror=0.5")
    )
    assert 0 < num_mirrored < 8


@pytest.mark.parametrize("kind, most", [("brightness", 0.2), ("contrast", 0.3)])
def test_light_changes_the_intensity_frames_alone(kind, most):
    drawn = []
    for (events, grey), (same, lit) in pairs(f"{kind}={most}"):
        np.testing.assert_array_equal(events, same)
        slope, offset = np.polyfit(grey.ravel(), lit.ravel().astype(float), 1)
        line = np.clip(slope * grey + offset, 0, 255)
        assert abs(line - lit).max() <= 1
        added = slope * grey.mean() + offset - grey.mean()  # at the mean grey
        one, other = (added / 255, slope - 1)[:: 1 if kind == "brightness" else -1]
        assert abs(one) <= most + 0.01 and abs(other) < 0.01
        drawn.append(one)
    assert np.ptp(drawn) > most / 2


@pytest.mark.parametrize("kind", ["dropout", "noise"])
def test_events_are_lost_and_made(kind):
    shares = []
    for (before, grey), (after, same) in pairs(f"{kind}=0.5"):
        np.testing.assert_array_equal(grey, same)
        differs = before != after
        if kind == "dropout":
            assert (after[differs] == 128).all()
            shares.append(differs.sum() / (before != 128).sum())
        else:
            assert {*after[differs]} == {0, 255}
            made = differs & (before == 128)
            shares.append(made.sum() / (before == 128).sum())
    assert max(shares) < 0.5 + 0.1 and np.ptp(shares) > 0.1  # of some 500 pixels


@pytest.mark.parametrize(
    "text, words",
    [
        ("turn=3", "augment: expected one of shift, rotation, .*, got 'turn'"),
        ("shift", "augment: expected shift from 0 to 45, got 'shift'"),
        ("shift=2,scale=1", "augment: expected scale from 0 to 0.9, got 'scale=1'"),
        ("noise=nan", "augment: expected noise from 0 to 1, got 'noise=nan'"),
    ],
)
def test_what_is_no_amount(text, words):
    with pytest.raises(UserError, match=words):
        augment.parse(text)


def test_a_run_that_resumes_ends_the_same(tmp_path):
    few = {"num_event_frames": 1, "skip": 0, "batch_size": 8, "eval_passes": 1}
    few |= {"data_dir": str(build_records(tmp_path, 2, (5, 8)))}

    def train(name, num_epochs, text=ALL):
        config = default.get_config().to_dict() | few
        config |= {"augment": text, "num_epochs": num_epochs}
        _, ended = run_whole(setup.prepare(config), tmp_path / name)
        return [x.tobytes() for x in jax.tree.leaves(ended)]

    whole = train("whole", 2)
    train("run", 1)
    assert train("run", 2) == whole
    assert train("plain", 2, "") != whole
