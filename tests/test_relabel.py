"""relabel: labels by another rule, from stored columns, into a table of its own."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

import tfcass
from beam_pipelines.relabel import main
from beam_pipelines.slides.annotations import Region
from beam_pipelines.slides.labels import LabelRule, label_shares, relabelled
from beam_pipelines.tile_slides import run as tile
from tests.support.tiling import Bench, square
from tfcass.errors import OptionError

pytestmark = pytest.mark.timeout(300)

# Nine patches of 300 pixels. Tumour covers patch 0, a third of patch 1 and the very middle of patch 4; normal the rest.
REGIONS = (
    Region("normal", shapely.box(0, 0, 900, 900)),
    Region("tumor", shapely.union_all([shapely.box(0, 0, 400, 300), shapely.box(440, 440, 460, 460)])),
)
PLACES = [(x, y) for y in (0, 300, 600) for x in (0, 300, 600)]


@pytest.fixture(scope="module")
def tiled(cassandra: tfcass.Cluster, cassandra_session) -> Iterator[str]:
    """A keyspace with the patches, labelled by the largest share. Each test relabels into a table of its own."""
    keyspace = f"test_{uuid.uuid4().hex[:12]}"
    tfcass.schema.create_tables(cassandra, keyspace)
    labels = label_shares(REGIONS, *np.array(PLACES).T, 300, 300)
    for number, (x, y) in enumerate(PLACES):
        row = {"patient_id": "p", "slide_num": 1, "label": int(number == 0), "x": x, "y": y, "slide": "p_1.tif"}
        row |= {"patch_id": uuid.uuid5(uuid.NAMESPACE_OID, str(number)), **labels.row(number)}
        marks = ", ".join(["%s"] * len(row))
        cassandra_session.execute(
            f"INSERT INTO {keyspace}.metadata_by_nat ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
        )
        cassandra_session.execute(
            f"INSERT INTO {keyspace}.data_by_uuid (patch_id, label, data) VALUES (%s, %s, %s)",
            (row["patch_id"], row["label"], b"picture"),
        )
    yield keyspace
    cassandra_session.execute(f"DROP KEYSPACE {keyspace}")


def _run(cluster: tfcass.Cluster, keyspace: str, folder: Path, *flags: str) -> int:
    where = ["--keyspace", keyspace, "--host", cluster.contact_points[0], "--port", str(cluster.port)]
    return main([*where, "--workers", "1", "--output", str(folder / "out"), *flags])


def _labels(session: Any, keyspace: str, table: str) -> dict[tuple[int, int], int]:
    return {(row[0], row[1]): row[2] for row in session.execute(f"SELECT x, y, label FROM {keyspace}.{table}")}


def test_a_rule_makes_a_table_of_its_own_and_leaves_the_other(
    cassandra: tfcass.Cluster, cassandra_session, tiled: str, tmp_path: Path, capsys
) -> None:
    before = _labels(cassandra_session, tiled, "metadata_by_nat")

    assert _run(cassandra, tiled, tmp_path, "--rule", "inner>0", "--to", "metadata_inner") == 0

    assert (
        "9 rows of" in (printed := capsys.readouterr().out)
        and "7 normal, 2 tumor" in printed
        and "1 changed" in printed
    )
    after = _labels(cassandra_session, tiled, "metadata_inner")
    assert {place for place, label in after.items() if label == 1} == {(0, 0), (300, 300)}
    assert _labels(cassandra_session, tiled, "metadata_by_nat") == before
    splits = tfcass.split(tfcass.read_rows(f"{tiled}.metadata_inner", cluster=cassandra), ratios={"all": 1})
    assert len(splits.keys("all")) == 9
    assert _run(cassandra, tiled, tmp_path, "--rule", "inner>0", "--to", "metadata_inner") == 0  # Again: in place.
    assert _labels(cassandra_session, tiled, "metadata_inner") == after


@pytest.mark.slides
def test_slides_that_were_tiled_get_other_labels_without_being_opened_again(
    cassandra: tfcass.Cluster, cassandra_session, keyspace: str, tmp_path: Path
) -> None:
    bench = Bench(tmp_path, cassandra, keyspace)
    slide = bench.slide("p1_0.tif")
    bench.annotate("p1_0", normal=square(0, 0, 3, 3), tumor=square(0, 0, 2.3, 1))
    assert tile(bench.options()).exit_code == 0
    slide.unlink()

    for rule, table, tumor in (("share>=0.5", "metadata_same", 2), ("any>0", "metadata_any", 3)):
        assert _run(cassandra, keyspace, tmp_path, "--rule", rule, "--to", table) == 0
        labels = _labels(cassandra_session, keyspace, table)
        assert len(labels) == 9 and sum(labels.values()) == tumor
    before = _labels(cassandra_session, keyspace, "metadata_by_nat")
    assert _labels(cassandra_session, keyspace, "metadata_same") == before


def test_labels_of_the_data_table_follow_when_asked_and_pictures_stay(
    cassandra: tfcass.Cluster, cassandra_session, tiled: str, tmp_path: Path
) -> None:
    flags = ("--rule", "any>0", "--to", "metadata_data", "--data-labels", "data_by_uuid")
    assert _run(cassandra, tiled, tmp_path, *flags) == 0

    rows = list(cassandra_session.execute(f"SELECT label, data FROM {tiled}.data_by_uuid"))
    assert sorted(label for label, _ in rows) == [0] * 6 + [1] * 3
    assert {bytes(data) for _, data in rows} == {b"picture"}


def test_patches_without_a_label_are_left_out(
    cassandra: tfcass.Cluster, cassandra_session, tiled: str, tmp_path: Path
) -> None:
    assert _run(cassandra, tiled, tmp_path, "--rule", "share>=0.9", "--to", "metadata_strict") == 0

    assert len(_labels(cassandra_session, tiled, "metadata_strict")) == 8  # Patch 1 is two thirds normal.
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["labels"] == {"normal": 7, "tumor": 1, "without a label": 1}


def test_rows_in_memory_are_relabelled_alike(cassandra: tfcass.Cluster, tiled: str) -> None:
    rows = tfcass.read_rows(f"{tiled}.metadata_by_nat", cluster=cassandra)

    changed = relabelled(rows, LabelRule.parse("inner>0"))

    tumor = {(row["x"], row["y"]) for row in changed.to_pylist() if row["label"] == 1}
    assert tumor == {(0, 0), (300, 300)}
    assert relabelled(rows, LabelRule.parse("share>=0.9")).num_rows == 8
    with pytest.raises(OptionError, match="the rows have no share_normal"):
        relabelled(rows.select(["patch_id", "label"]), LabelRule())


def test_one_table_holds_one_rule(cassandra: tfcass.Cluster, tiled: str, tmp_path: Path, capsys) -> None:
    assert _run(cassandra, tiled, tmp_path, "--rule", "any>0", "--to", "metadata_new") == 0
    assert _run(cassandra, tiled, tmp_path, "--rule", "centre", "--to", "metadata_new") == 2
    assert "rows are of another kind" in capsys.readouterr().err


def test_rows_that_were_tiled_before_the_columns_are_told(
    cassandra: tfcass.Cluster, cassandra_session, tiled: str, tmp_path: Path, capsys
) -> None:
    cassandra_session.execute(
        f"INSERT INTO {tiled}.metadata_by_nat (patient_id, slide_num, label, x, y, patch_id) "
        f"VALUES ('old', 1, 0, 0, 0, {uuid.uuid4()})"
    )
    code = _run(cassandra, tiled, tmp_path, "--rule", "any>0", "--to", "metadata_old")
    cassandra_session.execute(
        f"DELETE FROM {tiled}.metadata_by_nat WHERE patient_id = 'old' AND slide_num = 1 AND label = 0"
    )

    assert code == 1
    assert "1 rows have no value in share_normal: they were tiled before it was kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--rule", "inner>0", "--to", "metadata_by_nat"], "the label is part of its key"),
        (["--rule", "iner>0", "--to", "t"], "did you mean 'inner'"),
        (["--rule", "share>=half", "--to", "t"], "is not understood; write 'share>=0.5'"),
        (["--rule", "share>=2", "--to", "t"], "threshold=2.0 of the label rule is not a fraction"),
        (["--to", "t"], "--rule is not given"),
    ],
)
def test_wrong_usage_is_one_line(flags: list[str], reason: str, tmp_path: Path, capsys) -> None:
    assert main(["--keyspace", "k", "--host", "127.0.0.1", "--output", str(tmp_path), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
