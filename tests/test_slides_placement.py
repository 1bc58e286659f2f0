"""Annotations beside the tissue: the alarm, and the offset that would put them there."""

import numpy as np
import pytest
from scipy import ndimage

from beam_pipelines.slides.placement import misplacement


def _tissue() -> np.ndarray:
    """Two pieces with holes, on 300 x 500 pixels."""
    noise = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(300, 500)), 12)
    tissue = noise > 0.01
    tissue[:, :150] = tissue[:60] = False
    return tissue


def _moved(mask: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """A mask moved by whole pixels; what leaves the picture is gone."""
    height, width = mask.shape
    moved = np.zeros_like(mask)
    moved[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = mask[
        max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)
    ]
    return moved


def test_annotations_on_the_tissue_raise_no_alarm() -> None:
    tissue = _tissue()
    assert misplacement(tissue, tissue, 64) is None
    assert misplacement(ndimage.binary_dilation(tissue, iterations=5), tissue, 64) is None  # Drawn generously.
    assert misplacement(ndimage.binary_erosion(tissue, iterations=5), tissue, 64) is None


def test_nothing_drawn_or_no_tissue_is_not_judged() -> None:
    tissue = _tissue()
    nothing = np.zeros_like(tissue)
    assert misplacement(nothing, tissue, 64) is None and misplacement(tissue, nothing, 64) is None


@pytest.mark.parametrize(("dx", "dy"), [(-140, -55), (-100, 30), (37, -60)])
def test_the_offset_that_would_fix_it_is_found(dx: int, dy: int) -> None:
    tissue = _tissue()
    drawn = ndimage.binary_erosion(tissue)  # As drawn by hand: not quite the tissue's own outline.

    found = misplacement(_moved(drawn, dx, dy), tissue, 64)

    assert found is not None and found.cause == ""
    assert abs(found.dx_l0 + 64 * dx) <= 128 and abs(found.dy_l0 + 64 * dy) <= 128
    assert found.on_tissue < 0.5 and found.on_tissue_after > 0.95
    assert f"moved by dx={found.dx_l0:+,}, dy={found.dy_l0:+,}" in str(found)


def test_the_corner_of_the_scanned_box_is_named_as_the_cause() -> None:
    tissue = _tissue()
    bounds_l0 = (140 * 64, 55 * 64, 360 * 64, 245 * 64)

    relative = misplacement(_moved(tissue, -140, -55), tissue, 64, bounds_l0=bounds_l0)
    assert relative is not None and (relative.cause, relative.dx_l0, relative.dy_l0) == ("bounds", 140 * 64, 55 * 64)
    assert "counts from the corner of the scanned box; pass --annotation-frame bounds" in str(relative)

    twice = misplacement(_moved(tissue, 140, 55), tissue, 64, bounds_l0=bounds_l0)
    assert twice is not None and (twice.cause, twice.dx_l0, twice.dy_l0) == ("level0", -140 * 64, -55 * 64)
    assert "counts from the corner of the whole plane; pass --annotation-frame level0" in str(twice)


def test_a_region_that_no_offset_puts_on_the_tissue_is_told_without_one() -> None:
    tissue = np.zeros((200, 200), bool)
    tissue[10:14, 10:14] = True
    drawn = np.zeros((200, 200), bool)
    drawn[50:180, 50:180] = True

    found = misplacement(drawn, tissue, 64)

    assert found is not None and (found.dx_l0, found.dy_l0) == (0, 0)
    assert str(found) == (
        "only 0% of the annotated area shows tissue: are the annotations of this slide, and in level-0 pixels?"
    )


def test_large_masks_are_compared_at_a_coarser_level() -> None:
    tissue = np.kron(_tissue(), np.ones((8, 8), bool))
    found = misplacement(_moved(tissue, -800, -400), tissue, 8)
    assert found is not None
    assert abs(found.dx_l0 - 6_400) <= 128 and abs(found.dy_l0 - 3_200) <= 128


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one shape"):
        misplacement(np.ones((2, 2), bool), np.ones((2, 3), bool), 64)
