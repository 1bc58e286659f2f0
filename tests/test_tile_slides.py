"""The tiling pipeline on small slides and a real server: rows, ids, repetition, encodings, options."""

import csv
import json

import numpy as np
import pytest

import tfcass
from beam_pipelines.slides.encode import decode
from beam_pipelines.slides.masks import read_mask_png
from beam_pipelines.slides.tiles import TilingOptions
from beam_pipelines.summary import Summary
from beam_pipelines.tile_slides import main, run
from tests.support.slide_files import PINK
from tests.support.tiling import Bench, square, stored

pytestmark = pytest.mark.slides


@pytest.fixture
def bench(tmp_path, cassandra: tfcass.Cluster, keyspace: str) -> Bench:
    return Bench(tmp_path, cassandra, keyspace)


def counts(summary: Summary) -> tuple[int, ...]:
    return tuple(summary.total(name) for name in ("planned", "written", "skipped", "failed", "stored"))


def test_each_annotated_patch_with_tissue_becomes_a_row_of_both_tables(bench: Bench, cassandra_session) -> None:
    bench.annotated_slide("p1_2", mpp=0.25)

    summary = run(bench.options())

    assert (summary.exit_code, counts(summary)) == (0, (9, 9, 0, 0, 9))
    rows = {
        (row.label, row.x, row.y): row
        for row in cassandra_session.execute(f"SELECT * FROM {bench.keyspace}.metadata_by_nat")
    }
    tumour = {(1, 0, 0), (1, 512, 0)}
    normal = {(0, x, y) for x in (0, 512, 1024) for y in (0, 512, 1024)} - {(0, x, y) for _, x, y in tumour}
    assert set(rows) == tumour | normal
    row = rows[1, 512, 0]
    assert (row.patient_id, row.slide_num, row.slide, row.level) == ("p1", 2, "p1_2.tif", 1)
    assert (row.mpp, row.tissue) == (pytest.approx(0.5), pytest.approx(1.0))
    data = cassandra_session.execute(
        f"SELECT label, data FROM {bench.keyspace}.data_by_uuid WHERE patch_id = %s", (row.patch_id,)
    ).one()
    picture = decode(data.data)
    assert (data.label, picture.shape) == (1, (256, 256, 3))
    assert np.abs(picture.astype(int) - PINK).max() <= 4


def test_masks_are_written_at_the_mask_level(bench: Bench) -> None:
    bench.annotated_slide("p1_0")

    run(bench.options(dry_run=True))

    normal, tumor = (read_mask_png(bench.output / "masks" / f"p1_0_{label}.png") for label in ("normal", "tumor"))
    assert normal.shape == tumor.shape == (32, 32)
    assert (normal.sum(), tumor.sum()) == (7 * 64, 2 * 64)
    assert tumor[:8, :16].all() and not (normal & tumor).any()


def test_a_second_run_skips_everything_and_leaves_equal_tables(bench: Bench, cassandra_session) -> None:
    bench.annotated_slide("p1_0")
    run(bench.options())
    before = stored(cassandra_session, bench.keyspace)

    again = run(bench.options())

    assert counts(again) == (9, 0, 9, 0, 9)
    assert stored(cassandra_session, bench.keyspace) == before


def test_overwriting_leaves_equal_tables_too(bench: Bench, cassandra_session) -> None:
    bench.annotated_slide("p1_0")
    run(bench.options())
    before = stored(cassandra_session, bench.keyspace)

    again = run(bench.options(overwrite=True))

    assert counts(again) == (9, 9, 0, 0, 9)
    assert stored(cassandra_session, bench.keyspace) == before


def test_a_rerun_writes_what_either_table_lost(bench: Bench, cassandra_session) -> None:
    bench.annotated_slide("p1_0")
    run(bench.options())
    before = stored(cassandra_session, bench.keyspace)
    patch_id = before["data_by_uuid"][0][0]
    cassandra_session.execute(f"DELETE FROM {bench.keyspace}.data_by_uuid WHERE patch_id = %s", (patch_id,))
    cassandra_session.execute(
        f"DELETE FROM {bench.keyspace}.metadata_by_nat WHERE patient_id = 'p1' AND slide_num = 0 AND label = 1"
    )
    lost = {patch_id} | {row[0] for row in before["metadata_by_nat"] if row[2] == 1}

    again = run(bench.options())

    assert counts(again) == (9, len(lost), 9 - len(lost), 0, 9)
    assert stored(cassandra_session, bench.keyspace) == before


def test_ids_depend_on_the_pixels_and_not_on_name_patient_or_run(bench: Bench, cassandra_session) -> None:
    path = bench.annotated_slide("p1_0")
    run(bench.options())
    before = stored(cassandra_session, bench.keyspace)["data_by_uuid"]
    path.rename(path.with_name("q7_3.tif"))
    (bench.folder / "annotations" / "p1_0.geojson").rename(bench.folder / "annotations" / "q7_3.geojson")

    run(bench.options(metadata_table="renamed", overwrite=True))

    assert stored(cassandra_session, bench.keyspace)["data_by_uuid"] == before


@pytest.mark.parametrize("encoding", ["jpeg", "png", "tiff"])
def test_every_encoding_decodes_to_the_slide(bench: Bench, cassandra_session, encoding: str) -> None:
    bench.annotated_slide("p1_0", side=1, tissue=1)

    run(bench.options(encoding=encoding))

    (row,) = cassandra_session.execute(f"SELECT data FROM {bench.keyspace}.data_by_uuid")
    picture = decode(row.data)
    assert picture.shape == (256, 256, 3)
    assert np.abs(picture[:200, :200].astype(int) - PINK).max() <= (4 if encoding == "jpeg" else 0)


def test_another_encoding_into_the_same_table_is_refused_and_into_its_own_is_written(bench: Bench) -> None:
    bench.annotated_slide("p1_0", side=1, tissue=1)
    run(bench.options())

    refused = run(bench.options(encoding="png"))
    own = run(bench.options(encoding="png", data_table="data_png"))

    assert refused.exit_code == 3
    assert refused.slides[0].status == "stored in another encoding"
    assert "stored as jpeg" in refused.complaints()[0] and "--data-table" in refused.complaints()[0]
    assert (own.exit_code, own.total("written")) == (0, 1)


def test_other_levels_and_sizes_are_options(bench: Bench, cassandra_session) -> None:
    bench.annotated_slide("p1_0")
    tiling = TilingOptions(mask_level=5, decision_level=8, patch_level=0, patch_size=256, min_tissue=0.5)

    summary = run(bench.options(tiling=tiling))

    assert counts(summary) == (36, 36, 0, 0, 36)
    (row,) = cassandra_session.execute(f"SELECT level, mpp FROM {bench.keyspace}.metadata_by_nat LIMIT 1")
    assert (row.level, row.mpp) == (0, 0.25)


def test_the_slide_table_says_whose_a_slide_is(bench: Bench, cassandra_session) -> None:
    bench.annotated_slide("scan")
    table = bench.folder / "slides.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("slide", "patient_id", "slide_num"), ("scan.tif", "Ann", 4), ("gone.tif", "Bob", 0)]
        )

    summary = run(bench.options(slide_table=str(table)))

    rows = set(cassandra_session.execute(f"SELECT patient_id, slide_num FROM {bench.keyspace}.metadata_by_nat"))
    assert {tuple(row) for row in rows} == {("Ann", 4)}
    assert summary.absent_slides == ("gone",)


def test_a_name_without_a_number_is_a_patient_of_its_own_and_says_so(bench: Bench) -> None:
    bench.annotated_slide("biopsy")

    (slide,) = run(bench.options(dry_run=True)).slides

    assert (slide.patient_id, slide.slide_num) == ("biopsy", 0)
    assert any("patient of its own" in note for note in slide.notes)


def test_the_name_pattern_is_an_option(bench: Bench) -> None:
    bench.annotated_slide("site3-Ann-slide12")

    (slide,) = run(
        bench.options(dry_run=True, name_pattern=r"site\d+-(?P<patient_id>\w+)-slide(?P<slide_num>\d+)")
    ).slides

    assert (slide.patient_id, slide.slide_num) == ("Ann", 12)


def test_a_dry_run_plans_without_a_cluster(tmp_path) -> None:
    bench = Bench(tmp_path, None, "")
    bench.annotated_slide("p1_0")

    summary = run(bench.options(dry_run=True))

    assert (summary.exit_code, summary.dry_run, summary.total("planned")) == (0, True, 9)


def test_the_limit_takes_the_first_slides(bench: Bench) -> None:
    for number in range(3):
        bench.annotated_slide(f"p{number}_0", side=1, tissue=1)

    summary = run(bench.options(limit=2, dry_run=True))

    assert [slide.slide for slide in summary.slides] == ["p0_0.tif", "p1_0.tif"]
    assert summary.absent_slides == ()


def test_changed_annotations_leave_stale_rows_that_are_counted(bench: Bench) -> None:
    bench.annotated_slide("p1_0")
    run(bench.options())
    bench.annotate("p1_0", normal=square(0, 0, 3, 3))

    (slide,) = run(bench.options()).slides

    assert (slide.planned, slide.stale, slide.stored) == (9, 2, 11)


def test_worker_processes_write_the_same_rows(bench: Bench, cassandra_session, capsys) -> None:
    for number in range(3):
        bench.annotated_slide(f"p{number}_0")
    run(bench.options())
    before = stored(cassandra_session, bench.keyspace)
    for table in before:
        cassandra_session.execute(f"TRUNCATE {bench.keyspace}.{table}")

    code = main(bench.flags("--workers", "2", "--json"))

    printed = json.loads(capsys.readouterr().out)
    assert (code, printed["complete"], printed["patches"]["written"]) == (0, True, 27)
    assert printed == json.loads((bench.output / "summary.json").read_text())
    assert printed["counters"]["patches_cut"] == 27
    assert stored(cassandra_session, bench.keyspace) == before


def test_the_table_on_the_terminal_adds_up(bench: Bench, capsys) -> None:
    bench.annotated_slide("p1_0")

    assert main(bench.flags("--workers", "1")) == 0

    printed = capsys.readouterr().out
    assert "1 slides: 1 tiled" in printed
    assert "9 patches planned = 9 written" in printed and "9 rows in the database" in printed
