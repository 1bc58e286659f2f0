"""Annotations in XML: ASAP's and Aperio ImageScope's, and files that mean harm."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import shapely

from beam_pipelines.slides.annotations import Annotations, read_annotations
from beam_pipelines.slides.classes import CLASSES, EXCLUDE

SQUARE = ((0, 0), (100, 0), (100, 100), (0, 100))
HOLE = ((25, 25), (75, 25), (75, 75), (25, 75))


def _asap(*annotations: tuple[str, str, Sequence[tuple[float, float]]], groups: str = "") -> str:
    """(type, group, points) each."""
    drawn = "".join(
        f'<Annotation Name="Annotation {number}" Type="{kind}" PartOfGroup="{group}" Color="#F4FA58"><Coordinates>'
        + "".join(f'<Coordinate Order="{order}" X="{x}" Y="{y}" />' for order, (x, y) in enumerate(points))
        + "</Coordinates></Annotation>"
        for number, (kind, group, points) in enumerate(annotations)
    )
    return (
        f'<?xml version="1.0"?><ASAP_Annotations><Annotations>{drawn}</Annotations>'
        f"<AnnotationGroups>{groups}</AnnotationGroups></ASAP_Annotations>"
    )


def _region(points: Sequence[tuple[float, float]], *, kind: str = "0", negative: str = "0", text: str = "") -> str:
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)
    return (
        f'<Region Id="1" Type="{kind}" Text="{text}" NegativeROA="{negative}"><Attributes/>'
        f"<Vertices>{vertices}</Vertices></Region>"
    )


def _aperio(**layers: Sequence[str]) -> str:
    drawn = "".join(
        f'<Annotation Id="{number}" Name="{name.replace("_", " ")}" LineColor="65280"><Attributes/>'
        f"<Regions><RegionAttributeHeaders/>{''.join(regions)}</Regions><Plots/></Annotation>"
        for number, (name, regions) in enumerate(layers.items())
    )
    return f'<Annotations MicronsPerPixel="0.25">{drawn}</Annotations>'


def _read(folder: Path, text: str, class_map: dict | None = None) -> Annotations:
    path = folder / "S1.xml"
    path.write_text(text)
    return read_annotations([path], CLASSES if class_map is None else class_map)


def test_asap_regions_have_the_class_of_their_group(tmp_path: Path) -> None:
    text = _asap(
        ("Polygon", "Tumor", SQUARE),
        ("Rectangle", "3+4", SQUARE),
        groups='<Group Name="Tumor" PartOfGroup="None"/><Group Name="3+4" PartOfGroup="Tumor"/>',
    )
    found = _read(tmp_path, text)

    assert found.problems == ()
    assert [(r.label, r.polygon.area, r.frame) for r in found.of("S1.svs")] == [("tumor", 10_000, "level0")] * 2
    assert [(file.format, file.frame, file.regions) for file in found.files] == [("ASAP XML", "level0", 2)]
    # The group itself comes before the group that it is part of.
    assert [r.label for r in _read(tmp_path, text, {**CLASSES, "3+4": "normal"}).of("S1")] == ["tumor", "normal"]


def test_asap_without_a_group_goes_by_name_and_points_by_their_order(tmp_path: Path) -> None:
    points = "".join(
        f'<Coordinate Order="{order}" X="{SQUARE[order][0]}" Y="{SQUARE[order][1]}"/>' for order in (2, 0, 3, 1)
    )
    annotation = f'<Annotation Name="cancer" Type="Polygon" PartOfGroup="None"><Coordinates>{points}</Coordinates>'
    found = _read(
        tmp_path, f"<ASAP_Annotations><Annotations>{annotation}</Annotation></Annotations></ASAP_Annotations>"
    )

    assert found.problems == ()  # In the order of the file it would cross itself.
    assert [(r.label, r.polygon.area) for r in found.of("S1")] == [("tumor", 10_000)]


def test_asap_shapes_without_an_area_are_named_and_a_spline_is_noted(tmp_path: Path) -> None:
    found = _read(
        tmp_path, _asap(("Dot", "Tumor", SQUARE[:1]), ("Spline", "Tumor", SQUARE), ("Polygon", "tumr", SQUARE))
    )

    assert [r.label for r in found.of("S1")] == ["tumor"]
    dot, spline, unknown = found.problems
    assert "type 'Dot' has no area" in dot.reason and not dot.repaired and dot.where == "annotation 1"
    assert "polygon of its points" in spline.reason and spline.repaired
    assert "'tumr' is not known to the class map; did you mean 'tumor'" in unknown.reason


def test_aperio_negative_regions_are_holes_in_their_layer(tmp_path: Path) -> None:
    far = [(x + 500, y) for x, y in SQUARE]
    text = _aperio(
        Tumor=[_region(SQUARE), _region(far), _region(HOLE, negative="1")],
        Normal=[_region(SQUARE)],
    )
    found = _read(tmp_path, text)

    assert found.problems == ()
    assert [(r.label, r.polygon.area) for r in found.of("S1")] == [
        ("tumor", 7_500),
        ("tumor", 10_000),
        ("normal", 10_000),
    ]


def test_aperio_regions_go_by_their_text_then_by_the_layer_then_by_its_colour(tmp_path: Path) -> None:
    text = _aperio(Layer_1=[_region(SQUARE, text="benign"), _region(SQUARE)], Tumor=[_region(SQUARE, text="no. 7")])
    found = _read(tmp_path, text, {**CLASSES, "linecolor=65280": EXCLUDE})

    assert [r.label for r in found.of("S1")] == ["normal", "exclude", "tumor"]
    assert [file.format for file in found.files] == ["Aperio XML"]


def test_aperio_ellipses_and_boxes_of_two_corners(tmp_path: Path) -> None:
    corners = ((100, 300), (300, 200))
    regions = [_region(corners, kind=kind) for kind in ("1", "2")]
    box, ellipse = _read(tmp_path, _aperio(Tumor=[*regions, _region(corners, kind="4")])).of("S1")

    assert box.polygon.area == 20_000
    assert ellipse.polygon.area == pytest.approx(math.pi * 100 * 50, rel=1e-3)
    assert ellipse.polygon.bounds == pytest.approx((100, 200, 300, 300))


def test_a_hole_outside_of_all_regions_is_noted(tmp_path: Path) -> None:
    found = _read(tmp_path, _aperio(Normal=[_region(SQUARE)], Tumor=[_region(HOLE, negative="1")]))
    (problem,) = found.problems
    assert problem.repaired and "lies in no region of its layer" in problem.reason
    assert [r.polygon.area for r in found.of("S1")] == [10_000]


LAUGHS = '<!DOCTYPE lolz [<!ENTITY lol "lol">' + "".join(
    f'<!ENTITY lol{n} "{f"&lol{n - 1 or str()};" * 10}">' for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{LAUGHS}]><Annotations>&lol9;</Annotations>", "defines the XML entity 'lol', and is refused"),
        (
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Annotations>&x;</Annotations>',
            "defines the XML entity 'x', and is refused",
        ),
        (
            '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><Annotations></Annotations>',
            "is refused: it refers to something outside",
        ),
        ("<Annotations><Annotation></Annotations>", "malformed XML at line 1"),
        ("", "malformed XML"),
        ("no xml", "malformed XML"),
        ("<svg/>", "its root is <svg>; expected ASAP's <ASAP_Annotations> or Aperio's <Annotations>"),
    ],
)
def test_a_file_that_means_harm_or_is_something_else_is_refused_at_once(text: str, reason: str, tmp_path: Path) -> None:
    found = _read(tmp_path, text)  # Grown, the first one would be three gigabytes.

    (problem,) = found.problems
    assert (problem.where, problem.repaired) == ("", False) and reason in problem.reason
    assert found.regions_by_slide == {}


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (((0, 0), (5, "a"), (9, 9)), "coordinates that are not numbers"),
        (((0, 0), (5, ""), (9, 9)), "coordinates that are not numbers"),
        ((), "too few points"),
        (((0, 0), (5, 5)), "too few points"),
        (((0, 0), ("nan", 5), (9, 0)), "not finite"),
        (((0, 0), (5, 5), (9, 9)), "encloses no area"),
    ],
)
@pytest.mark.parametrize("program", ["asap", "aperio"])
def test_a_bad_region_is_named_and_the_others_are_read(points, reason: str, program: str, tmp_path: Path) -> None:
    text = (
        _asap(*(("Polygon", "Tumor", p) for p in (SQUARE, points, SQUARE)))
        if program == "asap"
        else _aperio(Tumor=[_region(p) for p in (SQUARE, points, SQUARE)])
    )
    found = _read(tmp_path, text)

    assert len(found.of("S1")) == 2
    (problem,) = found.problems
    assert problem.where in ("annotation 2", "region 2") and reason in problem.reason


def test_a_self_crossing_region_is_mended_and_noted(tmp_path: Path) -> None:
    bow_tie = ((0, 0), (100, 100), (100, 0), (0, 100))
    found = _read(tmp_path, _asap(("Polygon", "Tumor", bow_tie)))

    (region,) = found.of("S1")
    assert shapely.is_valid(region.polygon) and region.polygon.area == pytest.approx(5_000)
    (problem,) = found.problems
    assert problem.repaired and "Self-intersection[50 50]" in problem.reason


def test_an_empty_file_of_each_program_has_no_regions_and_no_problem(tmp_path: Path) -> None:
    for text in ("<ASAP_Annotations/>", "<Annotations/>"):
        found = _read(tmp_path, text)
        assert (found.problems, found.regions_by_slide, found.files[0].regions) == ((), {}, 0)
