"""The seed's recipe on a sparse MIRAX slide of 51,200 pixels a side and on TIFF slides, against the drawn truth; the
same on a real Flink."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

import tfcass
from beam_pipelines.cassandraio import ReadFromCassandra
from beam_pipelines.slides.encode import decode
from beam_pipelines.slides.masks import read_mask_png
from beam_pipelines.tile_slides import main
from tests.support import drawn_slides
from tests.support.flink import flink
from tests.support.tiling import Bench, stored

pytestmark = [pytest.mark.slides, pytest.mark.slow, pytest.mark.timeout(600)]

_PATCH_L0 = 512


@pytest.fixture(scope="module")
def recipe(
    tmp_path_factory: pytest.TempPathFactory, cassandra: tfcass.Cluster, cassandra_session: Any
) -> Iterator[Any]:
    """The slides, tiled by the local runner."""
    keyspace = "recipe_" + tmp_path_factory.getbasetemp().name.replace("-", "_")
    bench = Bench(tmp_path_factory.mktemp("recipe"), cassandra, keyspace)
    slides = [
        drawn_slides.mirax(bench.folder / "slides"),
        drawn_slides.tiff(bench.folder / "slides", "t1_1.tif"),
        drawn_slides.tiff(bench.folder / "slides", "t2_3.tif", shift=200.0),
    ]
    drawn_slides.annotate(bench.folder / "annotations", slides)
    code = main(bench.flags("--preset", "prostate-seed", "--workers", "2"))
    summary = json.loads((bench.output / "summary.json").read_text())
    yield SimpleNamespace(bench=bench, slides=slides, code=code, summary=summary, keyspace=keyspace)
    cassandra_session.execute(f"DROP KEYSPACE {keyspace}")


def _rows(session: Any, recipe: Any, slide: str) -> dict[tuple[int, int], Any]:
    rows = session.execute(f"SELECT * FROM {recipe.keyspace}.metadata_by_nat")
    return {(row.x, row.y): row for row in rows if row.slide == slide}


def test_every_planned_patch_is_in_the_database(recipe: Any) -> None:
    patches = recipe.summary["patches"]

    assert (recipe.code, recipe.summary["complete"]) == (0, True)
    assert patches["planned"] == patches["written"] == patches["stored"] > 80
    assert {slide["status"] for slide in recipe.summary["slides"]} == {"tiled"}
    for slide, drawn in zip(recipe.summary["slides"], recipe.slides, strict=True):
        assert slide["planned"] + sum(slide["rejected"].values()) == (drawn.size_l0 // _PATCH_L0) ** 2


def test_masks_agree_with_what_was_drawn(recipe: Any) -> None:
    for drawn in recipe.slides:
        truth = drawn.true_masks(64)
        for name, least in (("normal", 0.99), ("tumor", 0.99), ("tissue", 0.95)):
            mask = read_mask_png(recipe.bench.output / "masks" / f"{drawn.path.stem}_{name}.png")
            iou = (mask & truth[name]).sum() / (mask | truth[name]).sum()
            assert iou >= least, (drawn.path.name, name, iou)


def test_kept_patches_and_their_labels_agree_with_what_was_drawn(recipe: Any, cassandra_session: Any) -> None:
    for drawn in recipe.slides:
        kept = {place: row.label for place, row in _rows(cassandra_session, recipe, drawn.path.name).items()}
        expected, uncertain = drawn.true_labels(_PATCH_L0), drawn.uncertain(_PATCH_L0)

        assert {place: label for place, label in kept.items() if place not in uncertain} == expected
        assert len(expected) > 0.6 * len(kept)


def test_stored_patches_show_what_was_painted_at_their_place(recipe: Any, cassandra_session: Any) -> None:
    for drawn in recipe.slides:
        rows = _rows(cassandra_session, recipe, drawn.path.name)
        for (x, y), row in sorted(rows.items())[:: max(1, len(rows) // 8)]:
            statement = f"SELECT data FROM {recipe.keyspace}.data_by_uuid WHERE patch_id = %s"
            picture = decode(cassandra_session.execute(statement, (row.patch_id,)).one().data).astype(int)
            painted = drawn.paint(x, y, _PATCH_L0, _PATCH_L0).reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
            assert np.abs(picture - painted).mean() < 6, (drawn.path.name, x, y)


def test_shares_of_classes_are_stored_beside_the_label(recipe: Any, cassandra_session: Any) -> None:
    drawn = recipe.slides[1]
    truth = drawn.true_masks(8)["tumor"]
    for (x, y), row in _rows(cassandra_session, recipe, drawn.path.name).items():
        block = truth[y // 8 : (y + _PATCH_L0) // 8, x // 8 : (x + _PATCH_L0) // 8]
        assert row.share_tumor == pytest.approx(block.mean(), abs=0.01)
        assert row.share_normal + row.share_tumor <= 1 + 1e-6
        assert row.white is not None and row.black == 0


def test_flink_writes_the_rows_that_the_local_runner_writes(recipe: Any, cassandra_session: Any, capsys: Any) -> None:
    rows = stored(cassandra_session, recipe.keyspace)
    for table in (*rows, "slides"):
        cassandra_session.execute(f"TRUNCATE {recipe.keyspace}.{table}")

    with flink() as endpoint:
        flags = ["--runner=PortableRunner", f"--job_endpoint={endpoint}", "--environment_type=LOOPBACK"]
        code = main(recipe.bench.flags("--preset", "prostate-seed", "--json", *flags))
        # Reading is a splittable DoFn, which each runner carries out in a way of its own.
        with beam.Pipeline(options=PipelineOptions([*flags, "--parallelism=2"])) as pipeline:
            table, cluster = f"{recipe.keyspace}.data_by_uuid", recipe.bench.cluster
            found = pipeline | ReadFromCassandra(table, cluster=cluster, columns=("patch_id",))
            assert_that(found, equal_to([{"patch_id": id} for id, *_ in rows["data_by_uuid"]]))

    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert json.loads(printed.out)["patches"] == recipe.summary["patches"]
    assert stored(cassandra_session, recipe.keyspace) == rows
