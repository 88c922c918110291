"""What page and film show: the frames that are read, the answer, the brightening."""

import numpy as np
import pytest

from seen_jax import see
from seen_jax.live.view import STEADY_US, About, Steady, brightening
from tests.runtime.bundles import plain_runtime


@pytest.mark.parametrize(
    "length, skip, places, event_ages, intensity_ages, strip",
    [(4, 3, [0, 3], [12, 8, 4, 0], [12, 0], 13),
     (7, 0, [0, 6], [6, 5, 4, 3, 2, 1, 0], [6, 0], 13),
     (4, 5, [0, 3], [18, 12, 6, 0], [18, 0], 19)],
)  # fmt: skip
def test_which_frames_a_window_reads(
    length, skip, places, event_ages, intensity_ages, strip
):
    fields = {"num_event_frames": length, "skip": skip, "intensity_places": places}
    about = About.of("usb", plain_runtime(**fields), ["a"], False)
    assert about.event_ages == event_ages
    assert about.intensity_ages == intensity_ages
    assert about.strip == strip
    assert about.setting == f"E{length}_S{skip}"
    assert about.classes == list(see.EMOTIONS)
    assert len(set(about.colours)) == len(about.classes)
    assert (about.labels, about.can_record, about.size) == (["a"], False, 90)


def test_the_answer_changes_when_another_has_led_for_a_while():
    steady = Steady()
    assert steady.see("joy", 0) == "joy"  # the first at once
    assert steady.see("fear", 100_000) == "joy"
    assert steady.see("joy", 200_000) == "joy"  # and the time begins again
    for time_us in (300_000, 300_000 + STEADY_US - 1):
        assert steady.see("fear", time_us) == "joy"
    assert steady.see("fear", 300_000 + STEADY_US) == "fear"
    assert steady.see("joy", 10) == "fear"  # the camera's clock restarted
    assert steady.see("joy", 10 + STEADY_US) == "joy"


@pytest.mark.parametrize(
    "level, factor",
    # 192 / level as a power of two, where the image is darker than 96, at most 8.
    [(255, 1), (96, 1), (95, 2), (68, 2), (67, 4), (48, 4), (24, 8), (3, 8), (0, 8)],
)
def test_a_dark_image_is_brightened_by_a_power_of_two(level, factor):
    assert brightening(np.full((180, 180), level, np.uint8)) == factor
    assert brightening(np.full((1, 1), level, np.uint8)) == factor


def test_a_few_bright_pixels_do_not_keep_an_image_dark():
    image = np.full((200, 200), 20, np.uint8)
    image[:2] = 255
    assert brightening(image) == 8
    image[:20] = 255
    assert brightening(image) == 1
