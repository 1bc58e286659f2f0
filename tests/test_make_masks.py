"""make_masks: annotations of real slide files -> PNG masks, a summary, and an exit code."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from PIL import Image

from beam_pipelines.make_masks import main
from beam_pipelines.slides.masks import read_mask_png
from tests.support.mirax_files import write_mirax
from tests.support.slide_files import PINK, paint_tissue, write_pyramid

pytestmark = [pytest.mark.slides, pytest.mark.timeout(300)]

SIZE = 2_048
TISSUE = (256, 256, 1_536, 1_280)


@pytest.fixture(scope="module")
def slide_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("slide") / "s.tif"
    return write_pyramid(path, paint_tissue(SIZE, {TISSUE: PINK})).read_bytes()


class Desk:
    """A folder of slides and annotations."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self.folder = folder
        self._content = content

    def slide(self, name: str) -> None:
        (self.folder / f"{name}.tif").write_bytes(self._content)

    def annotate(self, slide: str, **boxes: Sequence[float]) -> None:
        features = [
            {
                "type": "Feature",
                "properties": {"classification": {"name": label}},
                "geometry": json.loads(shapely.to_geojson(shapely.box(*box))),
            }
            for label, box in boxes.items()
        ]
        (self.folder / f"{slide}.geojson").write_text(json.dumps(features))

    def run(self, *flags: str, workers: int = 1) -> int:
        flags = ("--slides", str(self.folder / "*.tif"), "--annotations", str(self.folder / "*.geojson"), *flags)
        return main([*flags, "--output", str(self.folder / "out"), "--workers", str(workers), "--no-progress"])

    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "out" / "summary.json").read_text())

    def mask(self, name: str) -> np.ndarray:
        return read_mask_png(self.folder / "out" / "masks" / name)


@pytest.fixture
def desk(tmp_path: Path, slide_bytes: bytes) -> Desk:
    return Desk(tmp_path, slide_bytes)


def _box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((32, 32), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_masks_are_those_that_were_drawn_in_one_process_and_in_two(desk: Desk) -> None:
    for name in ("a", "b"):
        desk.slide(name)
        desk.annotate(name, normal=TISSUE, tumor=(256, 256, 768, 512))

    for workers in (1, 2):
        assert desk.run(workers=workers) == 0
        for name in ("a", "b"):
            tumor = _box(4, 4, 12, 8)
            np.testing.assert_array_equal(desk.mask(f"{name}_tumor.png"), tumor)
            np.testing.assert_array_equal(desk.mask(f"{name}_normal.png"), _box(4, 4, 24, 20) & ~tumor)
    with Image.open(desk.folder / "out" / "masks" / "a_tumor.png") as image:
        assert image.mode == "L" and {value for _, value in image.getcolors()} == {0, 255}
    summary = desk.summary()
    assert summary["complete"] and [slide["status"] for slide in summary["slides"]] == ["drawn", "drawn"]
    assert summary["slides"][0]["area"] == {"normal": pytest.approx(288 / 1024), "tumor": pytest.approx(32 / 1024)}
    assert [file["format"] for file in summary["annotation_files"]] == ["GeoJSON", "GeoJSON"]


def test_classes_and_what_is_outside_come_from_the_class_map(desk: Desk) -> None:
    desk.slide("a")
    desk.annotate(
        "a", **{"gleason 3": (256, 256, 768, 512), "gleason 4": (512, 256, 768, 512), "fold": (704, 0, 768, 512)}
    )
    class_map = {
        "labels": {"benign": 0, "g3": 3, "g4": 4},
        "names": {"Gleason 3": "g3", "Gleason 4": "g4", "fold": "exclude"},
        "outside": "benign",
    }
    (desk.folder / "classes.json").write_text(json.dumps(class_map))

    assert desk.run("--class-map", str(desk.folder / "classes.json")) == 0

    np.testing.assert_array_equal(desk.mask("a_g3.png"), _box(4, 4, 8, 8))
    np.testing.assert_array_equal(desk.mask("a_g4.png"), _box(8, 4, 11, 8))
    np.testing.assert_array_equal(desk.mask("a_benign.png"), ~_box(4, 4, 12, 8) & ~_box(11, 0, 12, 8))


def test_slides_that_fail_or_are_not_annotated_are_told_and_the_others_drawn(desk: Desk, capsys) -> None:
    for name in ("a", "none"):
        desk.slide(name)
    (desk.folder / "broken.tif").write_bytes(b"II*\0" + b"\0" * 100)
    for name in ("a", "broken", "absent"):
        desk.annotate(name, tumor=TISSUE, tumr=TISSUE)

    assert desk.run() == 3

    summary = desk.summary()
    assert {slide["slide"]: slide["status"] for slide in summary["slides"]} == {
        "a.tif": "drawn",
        "broken.tif": "unreadable",
        "none.tif": "without annotations",
    }
    assert summary["absent_slides"] == ["absent"]
    assert sum("did you mean 'tumor'" in text for text in summary["complaints"]) == 3
    (letter,) = (desk.folder / "out" / "dead_letters.jsonl").read_text().splitlines()
    assert json.loads(letter)["slide"] == "broken.tif"
    printed = capsys.readouterr().out
    assert "1 of 3 slides drawn" in printed and "broken.tif: unreadable" in printed


def test_annotations_beside_the_tissue_raise_an_alarm_with_the_offset(desk: Desk) -> None:
    desk.slide("a")
    desk.annotate("a", tumor=(768, 1_024, 2_048, 2_048))  # TISSUE, moved by (512, 768).

    assert desk.run() == 3

    (alarm,) = desk.summary()["slides"][0]["alarms"]
    assert "moved by dx=-512, dy=-768 level-0 pixels it would be 99%" in alarm


def test_what_qupath_draws_on_a_mirax_slide_counts_from_its_scanned_box(desk: Desk) -> None:
    corner, size = (2_048, 1_024), 2_048

    def paint(x: int, y: int, width: int, height: int) -> np.ndarray | None:
        left, top = x - corner[0], y - corner[1]
        if not (0 <= left < size and 0 <= top < size):
            return None
        return np.tile(np.array(PINK, np.uint8), (height, width, 1)) if 512 <= left < 1_536 else white(height, width)

    write_mirax(desk.folder / "m.mrxs", paint, images=(20, 16), levels=7)
    ring = [[512, 0], [1_536, 0], [1_536, size], [512, size], [512, 0]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    feature["properties"] = {"objectType": "annotation", "classification": {"name": "Tumor", "color": [200, 0, 0]}}
    (desk.folder / "m.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    flags = ["--slides", str(desk.folder / "m.mrxs"), "--annotations", str(desk.folder / "m.geojson")]
    flags += ["--output", str(desk.folder / "out"), "--workers", "1", "--no-progress"]

    assert main(flags) == 0

    rows, columns = np.nonzero(desk.mask("m_tumor.png"))
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (40, 56, 16, 48)  # 64 pixels each.
    assert main([*flags, "--annotation-frame", "level0"]) == 3
    (alarm,) = desk.summary()["slides"][0]["alarms"]
    assert "moved by dx=+2,048, dy=+1,024" in alarm and "pass --annotation-frame bounds" in alarm


def white(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def test_annotations_of_a_larger_slide_are_told(desk: Desk) -> None:
    desk.slide("a")
    desk.annotate("a", tumor=(1_000, 1_000, 90_000, 60_000))

    assert desk.run() == 3

    alarm = desk.summary()["slides"][0]["alarms"][0]
    assert "drawn on a slide of at least 90000 x 60000 pixels, and this one has 2048 x 2048" in alarm


@pytest.mark.parametrize(
    ("flags", "code", "reason"),
    [
        (["--class-map", "absent.json"], 2, "absent.json' cannot be read"),
        (["--class-map", "kidney"], 2, "'kidney' is not known (has: prostate, camelyon)"),
        (["--annotation-frame", "plane"], 2, "'plane' is not one of auto, level0, bounds"),
        (["--annotations", "nothing-here/*.xml"], 2, "matches no file"),
        (["--mask-level", "-1"], 2, "mask_level=-1"),
        (["--mask-levl", "6"], 2, "unknown flag '--mask-levl'"),
        (["--output", "/dev/null/out"], 1, "cannot write to '/dev/null/out'"),
    ],
)
def test_wrong_usage_is_one_line(desk: Desk, flags: list[str], code: int, reason: str, capsys) -> None:
    desk.slide("a")
    desk.annotate("a", tumor=TISSUE)
    given = ["--slides", str(desk.folder / "*.tif"), "--annotations", str(desk.folder / "*.geojson")]

    assert main([*given, "--output", str(desk.folder / "out"), "--workers", "1", "--no-progress", *flags]) == code

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and reason in line
