"""What a run leaves beside the rows: the ledger of what it left out, the table of slides, and the report."""

import base64
import io
import json
import os
import re

import numpy as np
import pyarrow.compute as pc
import pytest
from PIL import Image

import tfcass
from beam_pipelines.ledger import read_ledger
from beam_pipelines.slides.classes import ClassMap
from beam_pipelines.slides.encode import encode
from beam_pipelines.slides.masks import decode_mask
from beam_pipelines.slides.quality import QualityOptions
from beam_pipelines.slides.tiles import TilingOptions
from beam_pipelines.tile_slides import main, run
from tests.support.slide_files import PINK, VIOLET, paint_tissue, write_pyramid
from tests.support.tiling import Bench, square, stored

pytestmark = pytest.mark.slides


@pytest.fixture
def bench(tmp_path, cassandra: tfcass.Cluster, keyspace: str) -> Bench:
    return Bench(tmp_path, cassandra, keyspace)


def half_white(bench: Bench, stem: str) -> None:
    """A slide of 2 x 2 patches, all annotated; the left ones are tissue, the right ones only by three fifths."""
    boxes = {(0, 0, 512, 1024): PINK, (512, 0, 819, 1024): VIOLET}
    write_pyramid(bench.folder / "slides" / f"{stem}.tif", paint_tissue(1024, boxes))
    bench.annotate(stem, normal=square(0, 0, 2, 2))


WHITE = TilingOptions(quality=QualityOptions(max_white=0.2))


def test_the_ledger_tells_for_each_place_left_out_what_fell_short_of_which_threshold(bench: Bench) -> None:
    bench.annotated_slide("p1_0")

    summary = run(bench.options(dry_run=True))

    rows = read_ledger(bench.output)
    assert rows.num_rows == sum(summary.slides[0].rejected.values()) == 7
    assert rows.filter(pc.equal(rows["reason"], "not annotated")).num_rows == 7
    (corner,) = (row for row in rows.to_pylist() if (row["x"], row["y"]) == (1536, 1536))
    assert (corner["slide"], corner["metric"], corner["value"]) == ("p1_0.tif", "annotated", 0.0)
    assert (corner["threshold"], corner["patch_id"], corner["label"]) == (0.5, None, None)


def test_patches_rejected_for_their_pixels_are_in_the_ledger_and_the_sum_holds(bench: Bench) -> None:
    half_white(bench, "p1_0")

    summary = run(bench.options(tiling=WHITE))

    (slide,) = summary.slides
    assert (slide.planned, slide.kept, dict(slide.low_quality), slide.failed, slide.stored) == (
        4, 2, {"too much white": 2}, 0, 2,
    )  # fmt: skip
    assert summary.exit_code == 0
    rejected = [row for row in read_ledger(bench.output).to_pylist() if row["patch_id"]]
    assert sorted((row["x"], row["y"]) for row in rejected) == [(512, 0), (512, 512)]
    assert all(row["metric"] == "white" and row["value"] == pytest.approx(0.4, abs=0.02) for row in rejected)
    assert [row["threshold"] for row in rejected] == [pytest.approx(0.2)] * 2


def test_a_rerun_does_not_cut_again_what_the_same_limit_rejects_and_a_looser_one_brings_it_back(bench: Bench) -> None:
    half_white(bench, "p1_0")
    run(bench.options(tiling=WHITE))
    os.utime(bench.folder / "slides" / "p1_0.tif")  # Planned again, as the file may have changed.

    again = run(bench.options(tiling=WHITE))
    looser = run(bench.options(tiling=TilingOptions(quality=QualityOptions(max_white=0.5))))

    assert "patches_cut" not in again.counters and again.slides[0].dropped == 2
    assert (looser.counters["patches_cut"], looser.slides[0].kept, looser.slides[0].dropped) == (2, 4, 0)
    assert not any(row["patch_id"] for row in read_ledger(bench.output).to_pylist())


def test_the_table_of_slides_tells_where_patches_are_from_and_what_became_of_them(
    bench: Bench, cassandra_session
) -> None:
    path = bench.annotated_slide("p1_2", mpp=0.25)
    bench.slide("p1_3.tif", tissue=0)

    run(bench.options())

    rows = {row.slide_num: row for row in cassandra_session.execute(f"SELECT * FROM {bench.keyspace}.slides")}
    tiled, empty = rows[2], rows[3]
    assert (tiled.patient_id, tiled.slide, tiled.path, tiled.vendor) == ("p1", "p1_2.tif", str(path), "generic-tiff")
    assert (tiled.width, tiled.height, tiled.mpp_x, tiled.mpp_source) == (2048, 2048, 0.25, "slide")
    assert (tiled.patch_width, json.loads(tiled.levels)[1]) == (512.0, 2.0)
    assert (tiled.status, tiled.planned, tiled.kept, tiled.failed, tiled.stored) == ("tiled", 9, 9, 0, 9)
    assert json.loads(tiled.rejected)["grid"]["not annotated"] == 7
    assert json.loads(tiled.options)["tiling"]["min_tissue"] == 0.3
    assert "openslide-python" in json.loads(tiled.versions)
    assert (empty.status, empty.planned, empty.stored) == ("without annotations", 0, 0)
    assert tiled.recipe and tiled.stored_ids and empty.recipe


def test_finished_slides_are_not_opened_again_until_something_changes(bench: Bench, cassandra_session) -> None:
    for number in range(3):
        bench.annotated_slide(f"p{number}_0")
    run(bench.options())

    again = run(bench.options())
    bench.annotate("p0_0", normal=square(0, 0, 2, 2))
    cassandra_session.execute(
        f"DELETE FROM {bench.keyspace}.metadata_by_nat WHERE patient_id = 'p1' AND slide_num = 0 AND label = 1"
    )
    changed = run(bench.options())

    assert [slide.untouched for slide in again.slides] == [True, True, True]
    assert (again.exit_code, again.counters, again.total("skipped"), again.total("stored")) == (0, {}, 27, 27)
    assert [slide.untouched for slide in changed.slides] == [False, False, True]
    assert [slide.written for slide in changed.slides] == [2, 2, 0]  # Two patches have another label.


def test_another_output_folder_gets_its_masks_and_pictures_and_no_patch_is_cut_again(bench: Bench) -> None:
    bench.annotated_slide("p1_0")
    run(bench.options())

    other = run(bench.options(output=str(bench.folder / "other")))

    assert ("patches_cut" in other.counters, other.total("skipped")) == (False, 9)
    assert (bench.folder / "other" / "masks" / "p1_0_tumor.png").exists()
    assert read_ledger(bench.folder / "other").num_rows == 7


def test_a_copy_of_a_finished_slide_is_still_found(bench: Bench) -> None:
    path = bench.annotated_slide("p1_0")
    run(bench.options())
    path.with_name("a0_7.tif").write_bytes(path.read_bytes())
    bench.annotate("a0_7", normal=square(0, 0, 3, 3))

    summary = run(bench.options())

    assert [slide.status for slide in summary.slides] == ["copy of another slide", "tiled"]
    assert "the same pixels as 'p1_0.tif'" in summary.slides[0].error


def pictures(bench: Bench) -> list[np.ndarray]:
    page = (bench.output / "report.html").read_text()
    encoded = re.findall(r'class="photo" src="data:image/jpeg;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in encoded]


def test_the_report_shows_patches_as_the_database_returns_them(bench: Bench, cassandra_session) -> None:
    bench.annotated_slide("p1_0")
    run(bench.options(report=False))
    assert not (bench.output / "report.html").exists()
    first = f"SELECT patch_id FROM {bench.keyspace}.metadata_by_nat WHERE patient_id='p1' AND slide_num=0 AND label=1"
    (patch_id,) = (row.patch_id for row in cassandra_session.execute(f"{first} AND x = 512 AND y = 0"))
    green = encode(np.full((256, 256, 3), (0, 200, 0), np.uint8))
    cassandra_session.execute(
        f"UPDATE {bench.keyspace}.data_by_uuid SET data = %s WHERE patch_id = %s", (green, patch_id)
    )

    run(bench.options())

    thumbnail, masks, grid, database = pictures(bench)
    side = thumbnail.shape[0] // 4
    cell = (slice(side // 4, side * 3 // 4), slice(side + side // 4, side + side * 3 // 4))
    assert np.abs(database[cell].mean(axis=(0, 1)) - (0, 200, 0)).max() < 8
    assert np.abs(thumbnail[cell].mean(axis=(0, 1)) - PINK).max() < 8
    tumour, normal = grid[cell].mean(axis=(0, 1)), grid[side * 2 + side // 2, side // 2]
    assert tumour[0] > tumour[2] and normal[2] > normal[0]  # Vermilion and blue.
    assert masks[cell].mean(axis=(0, 1))[0] > masks[side * 2 + side // 2, side // 2][0]
    page = (bench.output / "report.html").read_text()
    assert "9 of 9 stored patches" in page and "9 planned = 9 kept + 0 rejected + 0 failed" in page
    assert base64.b64encode(green).decode() in page  # On the contact sheet, byte for byte.


def test_the_report_of_a_partial_run_says_what_is_missing(bench: Bench) -> None:
    bench.annotated_slide("p1_0")
    (bench.folder / "slides" / "bad_1.svs").write_text("not a slide")

    assert run(bench.options()).exit_code == 3

    page = (bench.output / "report.html").read_text()
    assert "Partial" in page and "holds text, not a slide" in page and "bad_1.svs" in page


def test_masks_as_labels_are_stored_for_segmentation(bench: Bench, cassandra_session) -> None:
    bench.slide("p1_0.tif", side=2, tissue=2)
    bench.annotate("p1_0", normal=square(0, 0, 1.5, 2))

    code = main(bench.flags("--label-masks", "--workers", "1", "--min-annotated", "0.4"))

    assert code == 0
    labels = {
        row.patch_id: row.label for row in cassandra_session.execute(f"SELECT * FROM {bench.keyspace}.data_by_uuid")
    }
    for row in cassandra_session.execute(f"SELECT * FROM {bench.keyspace}.metadata_by_nat"):
        mask = decode_mask(labels[row.patch_id])
        assert (row.label, mask.shape) == (0, (256, 256))
        expected = np.full((256, 256), 255, np.uint8)
        expected[:, : 256 if row.x == 0 else 128] = 0
        assert (mask == expected).all()


def test_classes_of_the_users_own_get_columns_and_labels(bench: Bench, cassandra_session) -> None:
    bench.slide("p1_0.tif", side=2, tissue=2)
    bench.annotate("p1_0", stroma=square(0, 0, 1, 2), gland=square(1, 0, 2, 2))
    classes = ClassMap(labels=(("gland", 3), ("stroma", 5)), names=(("gland", "gland"), ("stroma", "stroma")))

    summary = run(bench.options(classes=classes))

    assert (summary.complaints(), summary.total("stored")) == ([], 4)
    rows = list(cassandra_session.execute(f"SELECT * FROM {bench.keyspace}.metadata_by_nat"))
    assert {(row.x, row.label, row.share_gland, row.share_stroma, row.centre_label) for row in rows} == {
        (0, 5, 0.0, 1.0, 5),
        (512, 3, 1.0, 0.0, 3),
    }
    assert {row.share_normal for row in rows} == {None}
    assert stored(cassandra_session, bench.keyspace)["data_by_uuid"][0][1] in (3, 5)
    assert (bench.output / "masks" / "p1_0_gland.png").exists()


def test_resolution_stride_and_edge_are_flags(bench: Bench, cassandra_session) -> None:
    bench.slide("p1_0.tif", side=2, tissue=2, mpp=0.25)
    bench.annotate("p1_0", normal=square(0, 0, 2, 2))
    flags = ("--mpp", "1.0", "--patch-size", "128", "--overlap", "64", "--edge", "drop", "--workers", "1")

    assert main(bench.flags(*flags)) == 0

    rows = list(cassandra_session.execute(f"SELECT * FROM {bench.keyspace}.metadata_by_nat"))
    assert {(row.x, row.y) for row in rows} == {(x, y) for x in (0, 256, 512) for y in (0, 256, 512)}
    assert {(row.level, row.mpp) for row in rows} == {(None, 1.0)}


def test_the_users_own_mpp_and_tissue_mask_replace_the_slides(bench: Bench, cassandra_session) -> None:
    bench.slide("p1_0.tif", side=2, tissue=0, mpp=None)
    bench.annotate("p1_0", normal=square(0, 0, 2, 2))
    (bench.folder / "mpp.csv").write_text("slide,mpp\np1_0.tif,0.5\n")
    mask = np.zeros((32, 32), np.uint8)
    mask[:, :16] = 255
    Image.fromarray(mask).save(bench.folder / "p1_0_tissue.png")
    flags = ("--mpp-table", str(bench.folder / "mpp.csv"), "--tissue-masks", str(bench.folder / "*_tissue.png"))

    assert main(bench.flags(*flags, "--mpp", "1", "--workers", "1")) == 0

    rows = list(cassandra_session.execute(f"SELECT x, y, mpp, tissue FROM {bench.keyspace}.metadata_by_nat"))
    assert {tuple(row) for row in rows} == {(0, 0, 1.0, 1.0), (0, 512, 1.0, 1.0)}
    (slide,) = cassandra_session.execute(f"SELECT mpp_x, mpp_source FROM {bench.keyspace}.slides")
    assert tuple(slide) == (0.5, "override")
