"""Which pixels the blocks read: by hand for the published size, by rule for others."""

import numpy as np
import pytest

from seen_jax.models.fast.geometry import DEEP, FIRST, make_grid


def test_stages_together():
    assert FIRST == (64, 7, 2)
    assert DEEP == (512, 7, 8)


def test_places_of_the_published_size():
    grid = make_grid(90)
    # 6 blocks of 7 rows less the 3 before the image; likewise conv2_f2's 6 * 3 - 1.
    assert grid.first.sum() == 39 * 39
    assert grid.second.sum() == 17 * 17
    # Block 1's row 0 is 8 - 3 = 5, its middle pixel in row 10; column 1 of block 2, 14.
    assert grid.pixels[1, 2, 0, 1].reshape(7, 7)[3, 3] == 10 * 90 + 2 * 14
    assert (grid.pixels[0, 0, 2, 3] == -1).all()
    # Row 3 of the kernel sees every second row, all inside; row 0 begins 3 before.
    assert set(grid.row_shares[:, 3]) == {0, 1 / 45}
    np.testing.assert_allclose(grid.row_shares.sum(axis=0)[[0, 3]], [43 / 45, 1])


@pytest.mark.parametrize("size, folds", [(90, True), (22, True), (20, False)])
def test_sizes_that_fold_by_hand(size, folds):
    # 90 -> 45 -> 23: 6 blocks of rows 4 r - 1 to 4 r + 1, the last one 19 to 21.
    # 22 -> 11 -> 6: the last block has rows 3 to 5, all of them real.
    # 20 -> 10 -> 5: the last block has rows 3 to 5, of which 5 is padding, but reads
    # rows 9 to 11 of the first stage, of which 9 is real.
    assert make_grid(size).folds is folds


def test_sizes_that_fold():
    # The last row of the last block, 4 r + 1, is padding if conv2_f2 leaves as many. It
    # reads from row 8 r + 1 on, which is real if the first stage leaves 8 r + 2.
    for size in range(1, 200):
        first = (size + 1) // 2
        second = (first + 1) // 2
        assert make_grid(size).folds == (second % 4 != 1 or first == 2 * second - 1), (
            size
        )
