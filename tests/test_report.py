"""The demo's report: one file, complete in itself, that says what was measured."""

import base64
import errno
import io
import os
import re
from html.parser import HTMLParser

import attrs
import numpy as np
import pytest
from PIL import Image

from beam_pipelines.drawing import overlays, palette
from beam_pipelines.drawing.pictures import patch_uri
from beam_pipelines.drawing.views import Outline, PatchPicture, SlideView
from tfcass.demo import figures
from tfcass.demo.contents import Confusion, History, Report, SplitCount, StageLine, TableCount
from tfcass.demo.page import render
from tfcass.demo.report import write_report
from tfcass.errors import TfcassError


class Page(HTMLParser):
    """The parts of a page that the tests ask about."""

    def __init__(self, html: str):
        super().__init__()
        self.images, self.links, self.scripts, self._texts, self._hidden = [], [], 0, [], 0
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self._texts))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.images += [values["src"]] if tag == "img" else []
        self.links += [value for name, value in attributes if name in ("href", "srcset", "action")]
        self.scripts += tag == "script"
        self._hidden += tag in ("style", "script")

    def handle_endtag(self, tag):
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data):
        if not self._hidden:
            self._texts.append(data)


def _slide(name, patient, split, *, probabilities=None):
    thumbnail = np.full((60, 80, 3), 235, np.uint8)
    square = np.array([[160, 160], [480, 160], [480, 320], [160, 320]], float)
    return SlideView(
        name=name,
        patient_id=patient,
        split=split,
        thumbnail=thumbnail,
        downsample=8.0,
        corners_l0=np.array([[160, 160], [240, 160], [320, 160]]),
        labels=np.array([0, 1, 1]),
        patch_side_l0=80,
        outlines=[Outline(1, square)],
        size_l0=(640, 480),
        mpp=0.25,
        probabilities=probabilities,
    )


def _jpeg():
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 120, 160)).save(content, "JPEG")
    return content.getvalue()


@pytest.fixture(scope="module")
def report():
    return Report(
        tables=[
            TableCount("demo.metadata_by_nat", 4321, (3210, 1111)),
            TableCount("demo.data_by_uuid", 4320, (3210, 1110)),
        ],
        splits=[
            SplitCount("train", ["P01", "P02"], 4, (801, 702), (2000, 703)),
            SplitCount("val", ["P03"], 2, (101, 62), (500, 204)),
            SplitCount("test", ["P04"], 2, (103, 64), (710, 204)),
        ],
        leaks={("train", "val"): 0, ("train", "test"): 0, ("val", "test"): 0},
        slides=[
            _slide("P01_1.tif", "P01", "train"),
            _slide("P04_1.tif", "P04", "test", probabilities=np.array([0.1, 0.9, 0.4])),
        ],
        patches=[PatchPicture(_jpeg(), label, "P01", "P01_1.tif", 5120, 1024) for label in (0, 1)],
        history=History([0.6, 0.3], [0.5, 0.35], [0.7, 0.9], [0.75, 0.88], 0.62),
        confusions=[Confusion("val", np.array([[90, 11], [4, 58]])), Confusion("test", np.array([[100, 3], [14, 50]]))],
        read_rows=4320,
        read_rows_per_s=12345.6,
        read_mb_per_s=250.4,
        stages=[
            StageLine("Slides", "2 slides", 75.0, earlier=True),
            StageLine("Tile", "Beam", 12.3, 4321, "written", 987.6),
        ],
        environment={"Python": "3.11", "Processors": "2 cores"},
        settings={"seed": "7"},
        provenance="Composed from pictures of real tissue.",
        unreadable_slides=[("notes.svs", "is text")],
        finished="2026-11-02 10:11",
    )


@pytest.fixture(scope="module")
def html(report):
    return render(report)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_page_needs_nothing_from_outside(html, page):

    assert page.images and all(src.startswith("data:image/") for src in page.images)
    assert page.links == []
    assert page.scripts == 0
    css = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    assert "url(" not in css and "@import" not in css
    # SVG names its namespaces by URL; these are names inside the data URIs, so the page's own text shows none.
    assert not re.search(r"https?://", html)


def test_every_picture_is_whole(page):
    for src in page.images:
        kind, content = re.fullmatch(r"data:image/([a-z+]+);base64,(.*)", src).groups()
        if kind == "svg+xml":
            assert b"</svg>" in base64.b64decode(content)
        else:
            Image.open(io.BytesIO(base64.b64decode(content))).load()


def test_the_expected_pictures_are_there(page):
    # Unseen slide 3, colour bar 1, curves 2, confusion matrices 2, slides 2, patches 2.
    assert len(page.images) == 12


def test_a_full_disk_is_one_clear_error_and_the_old_report_stays(report, tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tfcass._files.os.fsync", full)
    path = tmp_path / "report.html"
    path.write_text("old")

    with pytest.raises(TfcassError, match="cannot write .*report.html.*No space left on device"):
        write_report(report, path)

    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.html", "old")]


@pytest.mark.parametrize(
    "text",
    [
        "4,321 3,210 normal, 1,111 tumour",  # Key figure: rows by class.
        "2 patients",
        "90.8% majority class 62.0%",  # (90 + 58) / 163, 101 / 163
        "89.8% majority class 61.7%",  # (100 + 50) / 167, 103 / 167
        "12,346 rows/s through the op (250 MB/s), 4,320 rows",
        "1 min 27 s",  # 75.0 + 12.3
        "demo.data_by_uuid 4,320 3,210 1,110",
        "train P01, P02 4 1,503 801 702 46.7% 2,703",
        "all 2 patients 8 1,833 1,005 828 4,321",
        "No patient is in two splits: train ∩ val = 0, train ∩ test = 0, val ∩ test = 0",
        "Sensitivity (tumour found) 93.5%, specificity 89.1%",
        "Slides 2 slides from an earlier run 1 min 15 s",
        "Tile Beam 12 s 4,321 written 988",
        "P01 · P01_1.tif 5,120, 1,024",
        "640 × 480 px · 0.25 µm/px",
        "notes.svs is text",
        "P04_1.tif is of patient P04, who is in the test split",
        "Composed from pictures of real tissue.",
    ],
)
def test_the_numbers_are_those_that_were_given(page, text):
    assert text in page.text


def test_a_leak_is_said_and_not_hidden(report):
    page = Page(render(attrs.evolve(report, leaks={("train", "val"): 1, ("train", "test"): 0, ("val", "test"): 0})))

    assert "Patients in two splits: 1" in page.text
    assert "No patient is in two splits" not in page.text


def test_names_from_outside_are_text_and_not_markup(report):
    html = render(attrs.evolve(report, unreadable_slides=[("<b>x</b>.svs", "<script>alert(1)</script>")]))

    assert Page(html).scripts == 0
    assert "&lt;b&gt;x&lt;/b&gt;.svs" in html


def test_a_report_without_predictions_says_what_is_missing(report):
    with pytest.raises(ValueError, match="needs a slide with predictions"):
        render(attrs.evolve(report, slides=report.slides[:1]))


def test_a_patch_that_is_no_picture_is_named_by_its_bytes():
    with pytest.raises(TfcassError, match="a stored patch of 7 bytes .*nonsens.* is no image"):
        patch_uri(b"nonsens")


def test_tiff_patches_become_png():
    content = io.BytesIO()
    Image.new("RGB", (4, 4), (1, 2, 3)).save(content, "TIFF")

    uri = patch_uri(content.getvalue())

    kind, encoded = uri.split(";base64,")
    assert kind == "data:image/png"
    assert Image.open(io.BytesIO(base64.b64decode(encoded))).getpixel((0, 0)) == (1, 2, 3)


def test_jpeg_patches_are_embedded_byte_for_byte():
    encoded = _jpeg()

    assert base64.b64decode(patch_uri(encoded).split(",")[1]) == encoded


def test_patches_are_tinted_where_they_lie():
    view = attrs.evolve(_slide("S.tif", "P", "train"), outlines=[])

    drawn = overlays.draw_patches(view, fill_alpha=0.5, edge_alpha=1.0)

    # 160 / 8 = 20: cells of 10 px from (20, 20), of which the outermost pixel is the edge.
    normal, tumor = (np.array(palette.rgb(colour)) for colour in palette.CLASS_COLOURS)
    assert tuple(drawn[20, 20]) == tuple(normal) and tuple(drawn[29, 29]) == tuple(normal)
    assert tuple(drawn[20, 30]) == tuple(tumor)
    assert np.abs(drawn[25, 25] - (normal + 235) / 2).max() <= 0.5
    assert np.abs(drawn[25, 35] - (tumor + 235) / 2).max() <= 0.5
    assert (drawn[:20] == 235).all() and (drawn[30:] == 235).all() and (drawn[:, 50:] == 235).all()


def test_the_outline_is_drawn_on_its_border_only():
    view = _slide("S.tif", "P", "train")

    drawn = overlays.draw_annotations(view)

    changed = (drawn != view.thumbnail).any(axis=2)
    assert changed[20:40, 20].all() and changed[20:40, 60].all() and changed[20, 20:60].all()  # 160 / 8 .. 480 / 8
    assert not changed[26:34, 26:54].any()
    assert not changed[:14].any() and not changed[46:].any()


def test_probabilities_are_drawn_in_their_colours():
    view = attrs.evolve(_slide("S.tif", "P", "test", probabilities=np.array([0.0, 1.0, 0.5])), outlines=[])

    drawn = overlays.draw_probabilities(view, fill_alpha=1.0)

    expected = [palette.rgb(palette.PROBABILITY_COLOURS[stop]) for stop in (0, 4, 2)]
    assert [tuple(drawn[25, x]) for x in (25, 35, 45)] == expected


def test_a_patch_that_reaches_past_the_slide_is_cut():
    view = attrs.evolve(
        _slide("S.tif", "P", "train"), corners_l0=np.array([[600, 440]]), labels=np.array([1]), outlines=[]
    )

    drawn = overlays.draw_patches(view, edge_alpha=1.0)

    assert drawn.shape == (60, 80, 3)
    assert tuple(drawn[59, 79]) == palette.rgb(palette.CLASS_COLOURS[1])


def test_a_slide_without_patches_is_drawn_as_it_is():
    view = attrs.evolve(
        _slide("S.tif", "P", ""), corners_l0=np.zeros((0, 2), int), labels=np.zeros(0, int), outlines=[]
    )

    assert (overlays.draw_patches(view) == view.thumbnail).all()


def test_curves_of_a_single_epoch_can_be_drawn():
    history = History([0.6], [0.5], [0.7], [0.75], 0.62)

    for svg in (figures.loss_curves(history), figures.accuracy_curves(history)):
        assert svg.rstrip().endswith("</svg>")


def test_a_confusion_without_a_class_has_no_sensitivity():
    confusion = Confusion("val", np.array([[3, 1], [0, 0]]))

    assert confusion.accuracy == 0.75
    assert confusion.majority == 1.0
    assert np.isnan(confusion.sensitivity)
