"""Any intensity frame to 8 bits of grey on the sensor."""

import numpy as np
import pytest
from PIL import Image

from seen_jax.cameras.frames import GreyFrames, bits_of
from seen_jax.errors import UserError


def test_grey_of_8_bits_stays_as_it_is():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    grey = GreyFrames((4, 3))
    assert grey(image) is image
    assert grey.notes() == ()


def test_depth_by_hand():
    ten = np.array([[0, 3, 4, 1023]], np.uint16)  # / 4, rounded down
    grey = GreyFrames((4, 1))
    assert grey(ten).tolist() == [[0, 0, 1, 255]]
    assert grey(ten // 8).tolist() == [[0, 0, 0, 31]]
    assert grey.notes() == ("2 intensity frames of 10 bits scaled to 8",)
    shifted = GreyFrames((4, 1))
    dark = np.array([[0, 64, 128, 960]], np.uint16)  # 0, 1, 2, 15 of 1023
    assert shifted(dark * 0).tolist() == [[0, 0, 0, 0]]  # tells no depth yet
    assert shifted(dark).tolist() == [[0, 0, 0, 3]]
    assert shifted(ten * 64).tolist() == [[0, 0, 1, 255]]
    assert [bits_of(x) for x in (ten, ten * 64, dark, dark * 0)] == [10, 16, 16, None]
    with pytest.raises(UserError, match="expected 10 bits as before, got 1024"):
        grey(np.array([[0, 0, 0, 1024]], np.uint16))


def test_colour_as_pillow_has_it():
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    expected = np.asarray(Image.fromarray(rgb).convert("L")).astype(int)
    grey = GreyFrames((30, 20), "RGB")(rgb).astype(int)
    assert np.abs(grey - expected).max() <= 1  # its weights are of 65536
    bgr = GreyFrames((30, 20), "BGR")
    np.testing.assert_array_equal(bgr(rgb[:, :, ::-1]), grey)
    bgra = np.concatenate([rgb[:, :, ::-1], rgb[:, :, :1]], -1)
    np.testing.assert_array_equal(bgr(bgra), grey)
    assert bgr.notes() == ("2 intensity frames in colour turned into grey",)
    np.testing.assert_array_equal(bgr(rgb[:, :, :1]), rgb[:, :, 0])
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    assert GreyFrames((256, 1))(every).tolist() == [list(range(256))]


def test_regions_that_change():
    grey = GreyFrames((4, 3))
    ones = np.ones((2, 2), np.uint8)
    assert grey(ones, (2, 1)).tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert grey(ones[:1], (0, 0)).tolist() == [[1, 1, 0, 0], [0] * 4, [0] * 4]
    grey(np.ones((3, 4), np.uint8))
    grey(ones, (2, 1))
    assert grey.notes() == (
        "2 intensity frames of the region 2 x 2 at 2,1, black around it",
        "1 intensity frame of the region 2 x 1 at 0,0, black around it",
    )
    for place in ((3, 1), (2, 2), (-1, 0), (0, -1)):
        with pytest.raises(UserError, match="expected a place within the 4 x 3 pix"):
            grey(ones, place)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((3, 4), np.float32),
        np.zeros((3, 4, 2), np.uint8),
        np.zeros(12, np.uint8),
        np.zeros((3, 4, 3, 1), np.uint8),
    ],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(UserError, match="expected uint8 or uint16, grey or colour"):
        GreyFrames((4, 3))(image)
