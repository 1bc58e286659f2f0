"""Stain statistics and normalisation, on pictures of real tissue; the same in TensorFlow."""

import math
from functools import reduce

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color, data

from beam_pipelines.slides.stain import (
    ColourCounts,
    fit,
    fit_picture,
    merge_counts,
    normalise,
    tissue_colours,
)
from tests.support.stained_slides import patches, tissue
from tfcass.errors import OptionError
from tfcass.stain_statistics import DEFAULT_REFERENCE, METHODS, STATISTICS, StainStatistics

WHITE = np.full((64, 64, 3), 255, np.uint8)
GLASS = np.full((64, 64, 3), (244, 243, 240), np.uint8)
BLACK = np.zeros((64, 64, 3), np.uint8)


def _angle(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """In degrees."""
    return math.degrees(math.acos(min(1.0, float(np.dot(one, other)))))


def _textbook_macenko(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Macenko's method on all pixels of a picture, step by step as in the paper: stains [2, 3] and maxima [2]."""
    density = -np.log((rgb.reshape(-1, 3).astype(float) + 1) / 256)
    dense = density[(density >= 0.15).all(axis=1)]
    _, vectors = np.linalg.eigh(np.cov(dense.T))
    plane = vectors[:, [2, 1]] * np.where(vectors[0, [2, 1]] < 0, -1, 1)
    flat = dense @ plane
    angles = np.arctan2(flat[:, 1], flat[:, 0])
    ends = [plane @ (math.cos(a), math.sin(a)) for a in np.percentile(angles, (1, 99))]
    stains = np.array(sorted(ends, key=lambda stain: -stain[0]))
    amounts = np.linalg.lstsq(stains.T, density.T, rcond=None)[0]
    return stains, np.percentile(amounts, 99, axis=1)


def test_statistics_of_counts_are_those_of_all_pixels() -> None:
    rgb = tissue()
    found = fit_picture(rgb)

    stains, maxima = _textbook_macenko(rgb)
    assert _angle(found.haematoxylin, tuple(stains[0])) < 0.5 and _angle(found.eosin, tuple(stains[1])) < 0.5
    assert found.maxima == pytest.approx(tuple(maxima), rel=0.02)
    lab = color.rgb2lab(rgb).reshape(-1, 3)
    assert found.mean == pytest.approx(tuple(lab.mean(axis=0)), abs=0.5)
    assert found.std == pytest.approx(tuple(lab.std(axis=0)), abs=0.5)
    assert found.note == ""


def test_counts_add_up_in_any_order_and_grouping_to_the_same_statistics() -> None:
    counts = [tissue_colours(patch) for laboratory in ("usual", "violet") for patch in patches(laboratory)]

    one_by_one = reduce(lambda left, right: merge_counts([left, right]), counts)
    others = [
        merge_counts(counts),
        merge_counts(reversed(counts)),
        merge_counts([merge_counts(counts[5:]), merge_counts([]), merge_counts(counts[:5])]),
    ]

    for other in others:
        assert str(fit(other)) == str(fit(one_by_one))  # To the last digit.
        np.testing.assert_array_equal(other.counts, one_by_one.counts)
    assert one_by_one.pixels == sum(one.pixels for one in counts)


@pytest.mark.parametrize("method", METHODS)
def test_laboratories_are_brought_together(method: str) -> None:
    pictures = {name: tissue(name) for name in ("usual", "pale", "violet")}
    shown = {name: normalise(rgb, fit_picture(rgb), method) for name, rgb in pictures.items()}

    def apart(of: dict[str, np.ndarray]) -> float:
        means = np.array([rgb.reshape(-1, 3).mean(axis=0) for rgb in of.values()])
        return float(np.ptp(means, axis=0).max())

    assert apart(pictures) > 45 > 15 > apart(shown)
    for rgb in shown.values():  # The structure is still the same.
        grey, before = rgb.mean(axis=2).ravel(), pictures["usual"].mean(axis=2).ravel()
        assert np.corrcoef(grey, before)[0, 1] > 0.97


@pytest.mark.parametrize("method", METHODS)
def test_a_slide_that_is_its_own_reference_stays_as_it_is(method: str) -> None:
    rgb = tissue()
    statistics = fit_picture(rgb)
    assert np.abs(normalise(rgb, statistics, method, statistics).astype(int) - rgb).max() <= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("laboratory", ["usual", "pale", "violet"])
def test_blank_patches_stay_blank(method: str, laboratory: str) -> None:
    statistics = fit_picture(tissue(laboratory))

    np.testing.assert_array_equal(normalise(WHITE, statistics, method), WHITE)
    glass = normalise(GLASS, statistics, method).astype(int)
    assert glass.min() >= 225 and np.ptp(glass, axis=2).max() <= 16  # Neither black nor red: as good as grey.
    assert normalise(BLACK, statistics, method).max() < 60


@pytest.mark.parametrize(
    ("rgb", "note"),
    [
        (WHITE, "too little tissue: 0 pixels"),
        (GLASS, "too little tissue: 0 pixels"),
        (BLACK, "too little tissue: 0 pixels"),
        (np.full((64, 64, 3), (200, 100, 160), np.uint8), "no two stains: all colours lie within 0.0 degrees"),
        (np.full((64, 64, 3), (250, 225, 245), np.uint8), "too little stain: 0 dense pixels"),
        (np.full((8, 8, 3), (200, 100, 160), np.uint8), "too little tissue: 64 pixels"),
    ],
)
def test_pictures_that_tell_nothing_give_a_note_and_no_error(rgb: np.ndarray, note: str) -> None:
    statistics = fit_picture(rgb)

    assert statistics.note.startswith(note)
    assert not statistics.usable("macenko")
    np.testing.assert_array_equal(normalise(tissue(), statistics, "macenko"), tissue())
    assert StainStatistics.from_columns({**statistics.columns(), "note": statistics.note}).note == statistics.note


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.integers(0, 255), pixels=st.integers(1, 80))
def test_no_picture_breaks_the_fit(seed: int, spread: int, pixels: int) -> None:
    rng = np.random.default_rng(seed)
    rgb = (
        (rng.integers(0, 256, 3) + rng.integers(-spread, spread + 1, (pixels, pixels, 3))).clip(0, 255).astype(np.uint8)
    )

    statistics = fit_picture(rgb)

    for method in METHODS:
        assert normalise(rgb, statistics, method).shape == rgb.shape
        assert statistics.usable(method) or method == "reinhard" or statistics.note


def test_another_staining_has_its_own_directions() -> None:
    statistics = fit_picture(data.immunohistochemistry())
    assert statistics.usable("macenko")
    assert statistics.haematoxylin[0] > statistics.haematoxylin[2]  # Blue takes the red light,
    assert statistics.eosin[2] > statistics.eosin[0]  # and the brown of DAB the blue.


def test_no_counts_are_counts() -> None:
    empty = merge_counts([])
    assert isinstance(empty, ColourCounts) and empty.pixels == 0
    assert fit(empty).note.startswith("too little tissue")


def test_wrong_arguments_are_refused() -> None:
    statistics = fit_picture(tissue())
    with pytest.raises(OptionError, match="'vahadane' is not one of macenko, reinhard"):
        normalise(WHITE, statistics, "vahadane")
    with pytest.raises(OptionError, match="the reference cannot be used for macenko: too little tissue"):
        normalise(WHITE, statistics, "macenko", fit_picture(WHITE))
    with pytest.raises(ValueError, match=r"rgb is float64 \[2, 2, 3\]"):
        normalise(np.ones((2, 2, 3)), statistics)


def _batch() -> tuple[np.ndarray, list[StainStatistics]]:
    """Tissue of three laboratories, another staining, noise, glass and white, and tissue of an unusable slide."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    names = ("usual", "pale", "violet")
    pictures = [tissue(name) for name in names] + [data.immunohistochemistry()]
    fitted = [fit_picture(picture) for picture in pictures]
    images = [picture[:96, :96] for picture in pictures] + [noise, np.full_like(noise, 243), np.full_like(noise, 255)]
    return np.stack([*images, images[0]]), [*fitted, fitted[0], fitted[1], fitted[2], fit_picture(WHITE)]


@pytest.mark.parametrize("method", METHODS)
def test_tensorflow_shows_the_same(method: str) -> None:
    import tensorflow as tf

    from tfcass import stain

    images, statistics = _batch()
    vectors = np.stack([one.vector() for one in statistics])
    expected = np.stack([normalise(*pair, method) for pair in zip(images, statistics, strict=True)])

    dataset = tf.data.Dataset.from_tensor_slices((images, vectors)).batch(8)
    (batch,) = dataset.map(lambda i, v: stain.normalise(i, v, method=method))
    singles = [stain.normalise(*pair, method=method).numpy() for pair in zip(images, vectors, strict=True)]

    for found in (batch.numpy(), np.stack(singles)):
        assert found.dtype == np.uint8
        difference = np.abs(found.astype(int) - expected)
        assert difference.max() <= 1 and (difference > 0).mean() < 0.001
    np.testing.assert_array_equal(batch[-1], images[-1])


def test_statistics_are_found_by_row_and_by_key() -> None:
    import tensorflow as tf

    from tfcass.stain import StainTable

    vectors = {("p1", 0): DEFAULT_REFERENCE.vector(), ("p2", 3): DEFAULT_REFERENCE.vector() * 2}
    keys = np.random.default_rng(1).integers(0, 256, (50, 16), dtype=np.uint8)
    slides = [("p1", 0) if number % 3 else ("p2", 3) for number in range(50)]
    rows = pa.table(
        {
            "patch_id": pa.array([key.tobytes() for key in keys], pa.binary(16)),
            "patient_id": [patient for patient, _ in slides],
            "slide_num": pa.array([number for _, number in slides], pa.int32()),
        }
    )
    table = StainTable(vectors)
    expected = np.stack([vectors[slide] for slide in slides])

    np.testing.assert_array_equal(table.for_rows(rows), expected)
    found = tf.data.Dataset.from_tensor_slices(keys).batch(7).map(table.by_key(rows)).unbatch()
    np.testing.assert_array_equal(np.stack(list(found.as_numpy_iterator())), expected)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not among the rows"):
        table.by_key(rows)(tf.zeros([1, 16], tf.uint8))
    with pytest.raises(OptionError, match="has nothing of 1 slides \\(p2 slide 3\\)"):
        StainTable({("p1", 0): DEFAULT_REFERENCE.vector()}).for_rows(rows)
    with pytest.raises(OptionError, match="the rows have no slide_num"):
        table.for_rows(rows.drop_columns(["slide_num"]))


def test_tensorflow_refuses_other_arrays() -> None:
    from tfcass import stain

    with pytest.raises(OptionError, match="expected uint8"):
        stain.normalise(np.zeros((2, 2, 3), np.float32), DEFAULT_REFERENCE.vector())
    with pytest.raises(OptionError, match=f"expected \\[..., {len(STATISTICS)}\\]"):
        stain.normalise(WHITE, np.zeros(3, np.float32))
    with pytest.raises(OptionError, match="'stain' is not one of"):
        stain.normalise(WHITE, DEFAULT_REFERENCE.vector(), method="stain")
