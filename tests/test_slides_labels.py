"""Labels as data: exact shares against slow references, and rules that decide from columns."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.slides.annotations import Region
from beam_pipelines.slides.classes import EXCLUDE, ClassMap
from beam_pipelines.slides.coverage import areas_in_boxes
from beam_pipelines.slides.errors import AnnotationError
from beam_pipelines.slides.labels import LabelRule, PatchLabels, label_columns, label_shares
from beam_pipelines.slides.masks import cut_out, decode_mask, encode_mask, paint, patch_mask, rasterise
from tfcass.errors import OptionError

SIDE = 2_048


def _blobs(seed: int, number: int = 12) -> list[Region]:
    """Overlapping regions of all classes, some with holes, some past the slide's edge."""
    rng = np.random.default_rng(seed)
    regions = []
    for index in range(number):
        turn = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 60)))
        radius = rng.uniform(100, 600) * (1 + 0.4 * np.sin(rng.integers(1, 6) * turn))
        centre = rng.uniform(0, SIDE, 2)
        blob = shapely.make_valid(
            shapely.Polygon(centre + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1))
        )
        blob = shapely.intersection(blob - shapely.Point(centre).buffer(80), shapely.box(0, 0, SIDE, SIDE))
        if blob.area > 0 and blob.geom_type in ("Polygon", "MultiPolygon"):
            regions.append(Region(("normal", "tumor", EXCLUDE)[index % 3], blob))
    return regions


def _grid(step: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:SIDE:step, 0:SIDE:step]
    return x.ravel().astype(float), y.ravel().astype(float)


def _reference(regions: list[Region], classes: ClassMap, boxes: np.ndarray) -> np.ndarray:
    """Shares by shapely, region by region, in painter's order: slow and plain."""
    seen = {name: shapely.Polygon() for name in (*classes.class_names, EXCLUDE)}
    rank = {name: number for number, name in enumerate(seen)}
    if classes.outside is not None:
        seen[classes.outside] = shapely.box(0, 0, SIDE, SIDE)
    for region in regions if classes.order == "file" else sorted(regions, key=lambda region: rank[region.label]):
        seen = {name: shapely.difference(shape, region.polygon) for name, shape in seen.items()}
        seen[region.label] = shapely.union(seen[region.label], region.polygon)
    areas = [shapely.area(shapely.intersection(seen[name], boxes)) for name in classes.class_names]
    return np.stack(areas, axis=1) / shapely.area(boxes)[:, None]


@pytest.mark.parametrize(
    "classes", [ClassMap(), ClassMap(order="file"), ClassMap(outside="normal"), ClassMap(order="file", outside="tumor")]
)
@pytest.mark.parametrize("size", [256, 200])  # Aligned with the grid's step, and not.
def test_shares_are_exact_in_painters_order(classes: ClassMap, size: int) -> None:
    regions = _blobs(seed=3)
    x, y = _grid(256)

    found = label_shares(regions, x, y, size, size, classes, size_l0=(SIDE, SIDE))

    inner = size / 3
    squares = shapely.box(x + inner, y + inner, x + 2 * inner, y + 2 * inner)
    np.testing.assert_allclose(
        found.share, _reference(regions, classes, shapely.box(x, y, x + size, y + size)), atol=1e-8
    )
    np.testing.assert_allclose(found.inner, _reference(regions, classes, squares), atol=1e-8)
    xs = np.unique(x) + size / 2
    painted = paint(regions, xs, xs, classes, size_l0=(SIDE, SIDE)).ravel().astype(int)
    np.testing.assert_array_equal(found.centre, np.where(painted == 255, -1, painted))


@settings(max_examples=40, deadline=None)
@given(
    corners=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=3, max_size=9, unique=True),
    boxes=st.lists(st.tuples(*[st.integers(-10, 70)] * 2, *[st.integers(1, 30)] * 2), min_size=1, max_size=12),
)
def test_areas_in_any_boxes_are_those_of_shapely(corners, boxes) -> None:
    polygon = shapely.make_valid(shapely.Polygon(corners))
    if polygon.geom_type not in ("Polygon", "MultiPolygon"):
        return
    left, top, width, height = np.array(boxes, float).T

    found = areas_in_boxes(polygon, left, top, left + width, top + height)

    expected = shapely.area(shapely.intersection(polygon, shapely.box(left, top, left + width, top + height)))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_boxes_that_do_not_fit_into_one_band_are_added_up_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    regions = _blobs(seed=5)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-100, SIDE, 200), rng.uniform(-100, SIDE, 200)
    whole = label_shares(regions, x, y, 150, 90)

    monkeypatch.setattr("beam_pipelines.slides.coverage._CELLS", 900)

    banded = label_shares(regions, x, y, 150, 90)
    np.testing.assert_allclose(banded.share, whole.share, atol=1e-9)
    np.testing.assert_array_equal(banded.centre, whole.centre)


def test_a_million_points_and_a_whole_grid_are_a_matter_of_seconds() -> None:
    turn = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    radius = 30_000 * (1 + 0.3 * np.sin(7 * turn) + 0.002 * np.sin(40_000 * turn))
    polygon = shapely.Polygon(50_000 + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    y, x = np.mgrid[0:100_000:500, 0:100_000:500]

    found = label_shares([Region("tumor", polygon)], x.ravel(), y.ravel(), 500, 500)

    assert found.share[:, 1].sum() * 500**2 == pytest.approx(polygon.area, rel=1e-9)
    mask = rasterise([Region("tumor", polygon)], 100_000, 100_000)["tumor"]
    assert mask.sum() * 64**2 == pytest.approx(polygon.area, rel=1e-3)


def test_neighbours_that_share_a_border_leave_nothing_over() -> None:
    halves = [Region("normal", shapely.box(0, 0, 100.3, 300)), Region("tumor", shapely.box(100.3, 0, 300, 300))]
    found = label_shares(halves, np.array([0.0, 50.0]), np.array([0.0, 10.0]), 200, 200)

    np.testing.assert_allclose(found.share.sum(axis=1), 1)
    assert found.share[0, 0] == pytest.approx(100.3 / 200)
    assert found.centre.tolist() == [0, 1]  # 100 lies left of the border, 150 right of it.


def test_no_regions_and_no_patches() -> None:
    none = label_shares([], np.array([0.0]), np.array([0.0]), 10, 10)
    assert (none.share.tolist(), none.centre.tolist(), none.inner.tolist()) == ([[0, 0]], [-1], [[0, 0]])
    assert label_shares(_blobs(1), np.empty(0), np.empty(0), 10, 10).share.shape == (0, 2)
    with pytest.raises(ValueError, match="positive sides"):
        label_shares([], np.array([0.0]), np.array([0.0]), 0, 10)


def test_columns_survive_the_table() -> None:
    found = label_shares(_blobs(2), *_grid(256), 256, 256)
    assert set(found.columns()) == set(label_columns())
    rows = [found.row(number) for number in range(len(found.centre))]
    assert {row["centre_label"] for row in rows} == {None, 0, 1}
    assert isinstance(rows[0]["share_tumor"], float)

    again = PatchLabels.from_columns({name: [row[name] for row in rows] for name in rows[0]})

    np.testing.assert_array_equal(again.share, found.share)
    np.testing.assert_array_equal(again.centre, found.centre)
    np.testing.assert_array_equal(again.inner, found.inner)


LABELS = PatchLabels(
    classes=("normal", "tumor"),
    share=np.array([[0.6, 0.4], [0.5, 0.5], [0.9, 0.1], [0.0, 0.0], [0.4, 0.3]]),
    centre=np.array([1, 0, 0, -1, 0], np.int32),
    inner=np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.0, 0.0], [0.2, 0.01]]),
)


@pytest.mark.parametrize(
    ("rule", "labels"),
    [
        ("share>=0.5", [0, 1, 0, -1, -1]),  # Of two equal ones, tumour.
        ("share>=0.4", [0, 1, 0, -1, 0]),
        ("share>=0.95", [-1, -1, -1, -1, -1]),
        ("any>0", [1, 1, 1, -1, 1]),
        ("any>=0.35", [1, 1, 0, -1, 0]),
        ("inner>0", [1, 1, 0, -1, 1]),
        ("inner>=0.3", [1, 1, 0, -1, -1]),
        ("centre", [1, 0, 0, -1, 0]),
    ],
)
def test_rules(rule: str, labels: list[int]) -> None:
    assert LabelRule.parse(rule).decide(LABELS).tolist() == labels
    assert str(LabelRule.parse(rule)) == rule
    assert LabelRule.parse(str(LabelRule.parse(rule))) == LabelRule.parse(rule)


def test_a_rule_gives_the_integers_of_the_class_map() -> None:
    classes = ClassMap(labels=(("benign", 7), ("g3", 3)), names=())
    labels = PatchLabels(("benign", "g3"), LABELS.share, LABELS.centre, LABELS.inner)
    assert LabelRule().decide(labels, classes).tolist() == [7, 3, 7, -1, -1]


@pytest.mark.parametrize("rule", ["", "share", "inner", "any"])
def test_a_rule_without_a_number_has_the_usual_one(rule: str) -> None:
    if rule:
        assert LabelRule.parse(rule).threshold == (0.5 if rule == "share" else 0.0)
    else:
        with pytest.raises(OptionError, match="label rule '' is not understood"):
            LabelRule.parse(rule)


@pytest.mark.parametrize("rule", ["share<0.5", "share>=", "centre>0.5", "share>=1.5", "median>0", "share>=nan", "0.5"])
def test_rules_that_are_none_are_refused(rule: str) -> None:
    with pytest.raises(OptionError):
        LabelRule.parse(rule)


def test_a_patch_mask_has_the_class_at_each_pixels_centre(tmp_path) -> None:
    regions = [
        Region("normal", shapely.box(0, 0, 64, 64)),
        Region("tumor", shapely.box(16, 16, 48, 48)),
        Region(EXCLUDE, shapely.box(30, 30, 34, 34)),
    ]
    mask = patch_mask(regions, 8, 8, (12, 10), (4.0, 8.0))

    x, y = np.meshgrid(8 + (np.arange(12) + 0.5) * 4, 8 + (np.arange(10) + 0.5) * 8)
    expected = np.where((x < 64) & (y < 64), 0, 255)
    expected[(x > 16) & (x < 48) & (y > 16) & (y < 48)] = 1
    expected[(x > 30) & (x < 34) & (y > 30) & (y < 34)] = 255
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)
    np.testing.assert_array_equal(patch_mask(cut_out(regions, 8, 8, 48, 80), 8, 8, (12, 10), (4.0, 8.0)), mask)
    assert cut_out(regions, 100, 100, 10, 10) == ()


def test_masks_agree_with_shares() -> None:
    regions = _blobs(seed=8)
    x, y = _grid(512)
    shares = label_shares(regions, x, y, 512, 512).share
    for number in range(len(x)):
        mask = patch_mask(regions, x[number], y[number], 256, 2)
        assert [(mask == label).mean() for label in (0, 1)] == pytest.approx(shares[number].tolist(), abs=0.01)


def test_mask_bytes_that_are_none_are_told() -> None:
    with pytest.raises(ValueError, match="is no PNG"):
        decode_mask(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match=r"float64 \[2, 2\]"):
        encode_mask(np.zeros((2, 2)))


def test_later_regions_cover_earlier_ones_when_the_file_decides() -> None:
    regions = [Region("tumor", shapely.box(0, 0, 256, 256)), Region("normal", shapely.box(0, 0, 128, 128))]

    by_file, by_class = (rasterise(regions, 256, 256, 6, ClassMap(order=order)) for order in ("file", "class"))

    assert by_file["normal"].sum() == 4 and by_file["tumor"].sum() == 12
    assert by_class["normal"].sum() == 0 and by_class["tumor"].sum() == 16


def test_a_region_of_another_class_map_is_told() -> None:
    with pytest.raises(AnnotationError, match="regions of class stroma; the class map has normal, tumor"):
        rasterise([Region("stroma", shapely.box(0, 0, 1, 1))], 10, 10)
