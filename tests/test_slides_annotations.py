"""Annotation files: both formats, and everything that can be wrong with one, by name."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from beam_pipelines.slides.annotations import (
    CLASSES,
    EXCLUDE,
    Region,
    clip_to_slide,
    read_annotations,
    shift,
    slide_key,
)
from beam_pipelines.slides.errors import AnnotationError

SQUARE = [[0, 0], [100, 0], [100, 100], [0, 100]]
HOLE = [[25, 25], [75, 25], [75, 75], [25, 75]]
BOW_TIE = [[0, 0], [100, 100], [100, 0], [0, 100]]


def _csv(path: Path, *rows: tuple[str, str, Any]) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("slide", "label", "path"))
        writer.writerows((s, label, p if isinstance(p, str) else json.dumps(p)) for s, label, p in rows)
    return path


def _feature(coordinates: Any, label: Any = "Tumor", kind: str = "Polygon", **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"classification": {"name": label}, **properties},
    }


def _json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_csv_rows_become_regions_of_their_slides(tmp_path: Path) -> None:
    file = _csv(
        tmp_path / "a.csv", ("S1.svs", "normal", SQUARE), ("S2", "TUMOUR", [SQUARE, HOLE]), ("S1", "cancer", SQUARE)
    )
    found = read_annotations([file])

    assert found.problems == ()
    assert [r.label for r in found.regions_by_slide["S1"]] == ["normal", "tumor"]
    assert [(r.label, r.polygon.area) for r in found.of("some/folder/S2.tiff")] == [("tumor", 7_500.0)]
    assert found.of("S3.svs") == ()


@pytest.mark.parametrize("wrap", [lambda f: {"type": "FeatureCollection", "features": [f]}, lambda f: [f], lambda f: f])
def test_geojson_comes_in_three_wrappings(wrap, tmp_path: Path) -> None:
    found = read_annotations([_json(tmp_path / "S1.geojson", wrap(_feature([SQUARE, HOLE])))])

    assert found.problems == ()
    assert [(r.label, r.polygon.area) for r in found.of("S1")] == [("tumor", 7_500.0)]


def _qupath(coordinates: Any, classification: Any, **properties: Any) -> dict[str, Any]:
    """A feature as QuPath writes it."""
    feature = _feature(coordinates)
    feature["properties"] = {"objectType": "annotation", "classification": classification, **properties}
    return feature


@pytest.mark.parametrize(
    "classification",
    [
        {"names": ["Tumor", "Positive"], "color": [200, 0, 0]},
        {"name": "Tumor: Positive", "colorRGB": -3670016},
        {"name": "Tumor", "colorRGB": -3670016},
        "Tumor",
    ],
)
def test_compound_classes_are_looked_up_as_a_whole_and_then_part_by_part(classification: Any, tmp_path: Path) -> None:
    file = _json(tmp_path / "S1.geojson", _qupath([SQUARE], classification))

    assert [r.label for r in read_annotations([file]).of("S1")] == ["tumor"]
    whole = read_annotations([file], {**CLASSES, "tumor: positive": "normal"}).of("S1")
    assert [r.label for r in whole] == [
        "tumor" if classification == "Tumor" or "Positive" not in str(classification) else "normal"
    ]


def test_each_reader_names_its_frame_and_a_user_may_say_another(tmp_path: Path) -> None:
    files = [
        _json(tmp_path / "S1.geojson", _qupath([SQUARE], {"name": "Tumor"})),
        _json(tmp_path / "S2.geojson", _feature([SQUARE])),
        _csv(tmp_path / "a.csv", ("S3", "tumor", SQUARE)),
    ]
    found = read_annotations(files)

    assert [(Path(f.path).name, f.format, f.frame, f.regions) for f in found.files] == [
        ("S1.geojson", "QuPath GeoJSON", "bounds", 1),
        ("S2.geojson", "GeoJSON", "level0", 1),
        ("a.csv", "CSV", "level0", 1),
    ]
    assert [found.of(slide)[0].frame for slide in ("S1", "S2", "S3")] == ["bounds", "level0", "level0"]
    for frame in ("level0", "bounds"):
        assert {r.frame for rs in read_annotations(files, frame=frame).regions_by_slide.values() for r in rs} == {frame}
    with pytest.raises(AnnotationError, match="frame='plane' is not one of auto, level0, bounds"):
        read_annotations(files, frame="plane")


def test_regions_relative_to_the_scanned_box_are_moved_to_the_plane(tmp_path: Path) -> None:
    file = _json(tmp_path / "S1.geojson", _qupath([SQUARE], {"name": "Tumor"}))
    regions = read_annotations([file]).of("S1")

    (moved,), problems = clip_to_slide(regions, 10_000, 10_000, bounds_l0=(2_000, 3_000, 500, 500))
    assert moved.polygon.bounds == (2_000, 3_000, 2_100, 3_100) and moved.frame == "level0" and problems == []
    (kept,), _ = clip_to_slide(regions, 10_000, 10_000)  # A slide that is all scanned.
    assert kept.polygon.bounds == (0, 0, 100, 100)


def test_detections_are_counted_and_left_out(tmp_path: Path) -> None:
    cells = [_qupath([SQUARE], None, objectType="cell") for _ in range(3)]
    found = read_annotations([_json(tmp_path / "S1.geojson", [*cells, _qupath([SQUARE], {"name": "Tumor"})])])

    assert len(found.of("S1")) == 1
    (problem,) = found.problems
    assert problem.repaired and "3 detections are no annotations" in problem.reason


def test_a_collection_of_geometries_is_one_region(tmp_path: Path) -> None:
    far = [[x + 500, y] for x, y in SQUARE]
    feature = _feature(None)
    feature["geometry"] = {
        "type": "GeometryCollection",
        "geometries": [
            {"type": "Polygon", "coordinates": [SQUARE, HOLE]},
            {"type": "Point", "coordinates": [5, 5]},
            {"type": "MultiPolygon", "coordinates": [[far]]},
        ],
    }
    (region,) = read_annotations([_json(tmp_path / "S1.json", feature)]).of("S1")
    assert region.polygon.area == 17_500


def test_regions_may_be_left_out_without_a_word_or_cut_out(tmp_path: Path) -> None:
    file = _json(tmp_path / "S1.json", [_feature([SQUARE], label) for label in ("todo", "fold", "tumor")])
    found = read_annotations([file], {**CLASSES, "todo": None, "fold": EXCLUDE})
    assert found.problems == () and [r.label for r in found.of("S1")] == ["exclude", "tumor"]


def test_an_unknown_label_is_told_with_those_that_come_near(tmp_path: Path) -> None:
    (problem,) = read_annotations([_json(tmp_path / "S1.json", _feature([SQUARE], "Tumr"))]).problems
    assert "label 'Tumr' is not known to the class map; did you mean 'tumor' or 'tumour'?" in problem.reason


def test_a_multipolygon_is_one_region_with_its_holes(tmp_path: Path) -> None:
    far = [[x + 500, y] for x, y in SQUARE]
    file = _json(tmp_path / "S1.json", _feature([[SQUARE, HOLE], [far]], kind="MultiPolygon"))

    (region,) = read_annotations([file]).of("S1")
    assert region.polygon.area == 17_500.0


def test_a_feature_may_name_its_slide(tmp_path: Path) -> None:
    file = _json(tmp_path / "all.geojson", [_feature([SQUARE], slide="S7.mrxs"), _feature([SQUARE], "Benign")])
    found = read_annotations([file])

    assert {slide: [r.label for r in regions] for slide, regions in found.regions_by_slide.items()} == {
        "S7": ["tumor"],
        "all": ["normal"],
    }


def test_the_regions_of_a_slide_add_up_over_files_in_both_formats(tmp_path: Path) -> None:
    files = [_csv(tmp_path / "a.csv", ("S1", "normal", SQUARE)), _json(tmp_path / "S1.svs.geojson", _feature([SQUARE]))]
    assert [r.label for r in read_annotations(files).of("S1.svs")] == ["normal", "tumor"]


def test_annotations_of_a_slide_that_is_nowhere_are_kept_for_the_summary(tmp_path: Path) -> None:
    found = read_annotations([_csv(tmp_path / "a.csv", ("absent.svs", "tumor", SQUARE))])
    assert list(found.regions_by_slide) == ["absent"]


def test_the_class_map_can_be_extended(tmp_path: Path) -> None:
    file = _csv(tmp_path / "a.csv", ("S1", "Gleason 4", SQUARE))
    assert read_annotations([file]).of("S1") == ()
    assert [r.label for r in read_annotations([file], {**CLASSES, "gleason 4": "tumor"}).of("S1")] == ["tumor"]


def test_a_class_map_to_another_class_is_refused() -> None:
    with pytest.raises(AnnotationError, match="stroma"):
        read_annotations([], {"x": "stroma"})


@pytest.mark.parametrize(
    ("label", "path", "reason"),
    [
        ("tumor", "[[0, 0], [1,", "path is not JSON"),
        ("tumor", "", "path is not JSON"),
        ("tumor", [], "no coordinates"),
        ("tumor", "17", "no coordinates"),
        ("tumor", '{"x": 1}', "no coordinates"),
        ("tumor", [[0, 0], [1, 1]], "too few points (2 distinct, 3 are needed)"),
        ("tumor", [[0, 0], [5, 5], [0, 0], [5, 5]], "too few points"),
        ("tumor", [[0, 0], [5, 5], [9, 9]], "encloses no area"),
        ("tumor", "[[0, 0], [NaN, 5], [9, 0]]", "not finite"),
        ("tumor", "[[0, 0], [1e400, 5], [9, 0]]", "not finite"),
        ("tumor", [[0, 0], ["a", 5], [9, 0]], "not a list of [x, y] numbers"),
        ("tumor", [[0, 0], ["7", 5], [9, 0]], "not a list of [x, y] numbers"),
        ("tumor", [[0, 0], [5], [9, 0]], "not a list of [x, y] numbers"),
        ("tumor", [SQUARE, [[1, 1], [2, 2]]], "hole 1 has too few points"),
        ("stroma", SQUARE, "label 'stroma' is not known"),
        ("", SQUARE, "label '' is not known"),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_read(label: str, path: Any, reason: str, tmp_path: Path) -> None:
    file = _csv(tmp_path / "a.csv", ("S1", "normal", SQUARE), ("S1", label, path), ("S1", "tumor", SQUARE))
    found = read_annotations([file])

    assert [r.label for r in found.of("S1")] == ["normal", "tumor"]
    (problem,) = found.problems
    assert (problem.file, problem.where, problem.repaired) == (str(file), "row 3", False)
    assert reason in problem.reason and "left out" in problem.reason


@pytest.mark.parametrize(
    ("feature", "reason"),
    [
        (17, "not a GeoJSON feature"),
        ({"type": "Feature", "geometry": None}, "not a GeoJSON feature"),
        (_feature([5, 5], kind="Point"), "'Point' has no area"),
        (_feature([SQUARE], label=None), "label None is not known"),
        ({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}}, "label None is not known"),
        (_feature(None), "no coordinates"),
        (_feature(None, kind="MultiPolygon"), "no coordinates"),
        (_feature(SQUARE), "not a list of [x, y] numbers"),
    ],
)
def test_a_bad_feature_is_named_and_the_others_are_read(feature: Any, reason: str, tmp_path: Path) -> None:
    file = _json(tmp_path / "S1.geojson", [_feature([SQUARE]), feature, _feature([SQUARE])])
    found = read_annotations([file])

    assert len(found.of("S1")) == 2
    (problem,) = found.problems
    assert problem.where == "feature 2"
    assert reason in problem.reason


@pytest.mark.parametrize(
    "write",
    [lambda p: _csv(p / "a.csv", ("S1", "tumor", BOW_TIE)), lambda p: _json(p / "S1.json", _feature([BOW_TIE]))],
)
def test_a_self_crossing_outline_is_repaired_and_reported(write, tmp_path: Path) -> None:
    found = read_annotations([write(tmp_path)])

    (region,) = found.of("S1")
    assert shapely.is_valid(region.polygon)
    assert region.polygon.area == pytest.approx(5_000)
    (problem,) = found.problems
    assert problem.repaired
    assert "Self-intersection[50 50]" in problem.reason


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.geojson", b'{"type": "FeatureCollection", "features": [', "malformed JSON"),
        ("a.geojson", b"[" * 100_000, "malformed JSON"),
        ("a.geojson", b"17", "holds no GeoJSON features"),
        ("a.geojson", b'{"type": "FeatureCollection"}', "holds no GeoJSON features"),
        ("a.csv", b"slide,class\nS1,x\n", "columns missing: label, path; found: slide, class"),
        ("a.csv", b"", "columns missing: slide, label, path; found: an empty file"),
        ("a.csv", b"slide,label,path\n\xff\xfe,x,y\n", "is not UTF-8 text"),
        ("a.txt", b"<a/>", "suffix '.txt' is not known"),
        ("absent.csv", None, "no such file"),
    ],
)
def test_an_unreadable_file_is_named_and_the_others_are_read(
    name: str, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    bad = tmp_path / name
    if content is not None:
        bad.write_bytes(content)
    found = read_annotations([bad, _csv(tmp_path / "good.csv", ("S1", "tumor", SQUARE))])

    assert len(found.of("S1")) == 1
    (problem,) = found.problems
    assert problem.where == ""
    assert str(problem) == f"{bad}: {problem.reason}"
    assert reason in problem.reason


def test_an_outline_of_many_points_fits_into_a_csv_cell(tmp_path: Path) -> None:
    circle = shapely.Point(5_000, 5_000).buffer(4_000, quad_segs=5_000)
    path = [[x, y] for x, y in circle.exterior.coords]
    assert len(json.dumps(path)) > 500_000
    (region,) = read_annotations([_csv(tmp_path / "a.csv", ("S1", "tumor", path))]).of("S1")
    assert region.polygon.area == pytest.approx(circle.area)


def test_an_outline_of_a_million_points_that_crosses_itself_is_read(tmp_path: Path) -> None:
    turn = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    radius = 30_000 * (1 + 0.3 * np.sin(7 * turn) + 0.002 * np.sin(40_000 * turn))
    points = (50_000 + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)).round(1)
    points[[1_000, 1_003]] = points[[1_003, 1_000]]
    found = read_annotations([_json(tmp_path / "S1.geojson", _feature([points.tolist()]))])

    (region,) = found.of("S1")
    assert shapely.is_valid(region.polygon)
    assert region.polygon.area == pytest.approx(shapely.Polygon(points).area, rel=1e-6)
    (problem,) = found.problems
    assert problem.repaired and "Self-intersection" in problem.reason


@pytest.mark.parametrize("content", [{"type": "FeatureCollection", "features": []}, []])
def test_a_file_without_features_has_no_regions_and_no_problem(content: Any, tmp_path: Path) -> None:
    found = read_annotations([_json(tmp_path / "S1.geojson", content)])
    assert (found.problems, found.regions_by_slide, found.files[0].regions) == ((), {}, 0)


def test_a_csv_saved_by_a_spreadsheet_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = _csv(tmp_path / "a.csv", ("S1", "tumor", SQUARE))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(read_annotations([file]).of("S1")) == 1


@pytest.mark.parametrize(
    ("slide", "key"),
    [
        ("S1.svs", "S1"),
        ("dir/S1.OME.TIFF", "S1"),
        (r"C:\slides\S1.mrxs", "S1"),
        ("TCGA-A1.0001", "TCGA-A1.0001"),
        ("TCGA-A1.0001.svs", "TCGA-A1.0001"),
        (".svs", ".svs"),
    ],
)
def test_slide_key(slide: str, key: str) -> None:
    assert slide_key(slide) == key


def test_regions_outside_the_slide_are_cut_and_reported() -> None:
    def square(x: float) -> Region:
        return Region("tumor", shapely.box(x, 0, x + 100, 100))

    inside, problems = clip_to_slide([square(0), square(950), square(2_000)], 1_000, 1_000)

    assert [r.polygon.area for r in inside] == [10_000, 5_000]
    assert len(problems) == 2
    assert "region 2 (tumor, x 950 to 1050, y 0 to 100)" in problems[0] and "50.0% of it is used" in problems[0]
    assert "region 3" in problems[1] and "lies outside the slide of 1000 x 1000 pixels and is left out" in problems[1]


def test_annotations_of_a_much_larger_slide_are_told() -> None:
    regions = [Region("tumor", shapely.box(x, x, x + 900, x + 900)) for x in (0, 40_000, 80_000)]
    inside, problems = clip_to_slide(regions, 1_000, 1_000)

    assert len(inside) == 1 and len(problems) == 3
    assert "it was drawn on a slide of at least 80900 x 80900 pixels, and this one has 1000 x 1000" in problems[2]


def test_a_region_that_touches_the_slide_in_a_line_only_is_outside() -> None:
    inside, problems = clip_to_slide([Region("normal", shapely.box(1_000, 0, 1_100, 100))], 1_000, 1_000)
    assert inside == [] and "left out" in problems[0]


def test_shift_moves_regions_to_another_frame() -> None:
    (moved,) = shift([Region("tumor", shapely.box(0, 0, 10, 10))], 100, 200)
    assert moved.polygon.bounds == (100, 200, 110, 210)
