"""normalise_stain: real tissue from a real database, statistics stored once, a second table of the same ids."""

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcass
from beam_pipelines.normalise_stain import StainRun, main, run
from beam_pipelines.slides.encode import decode
from beam_pipelines.slides.masks import encode_mask
from beam_pipelines.slides.stain import fit_picture
from beam_pipelines.stain_table import read_stain_table, save_reference
from tests.support.stained_slides import SIDE, patches, write_slides
from tfcass.devcluster.ports import free_port
from tfcass.errors import OptionError, SchemaError
from tfcass.stain_statistics import DEFAULT_REFERENCE

pytestmark = pytest.mark.timeout(300)

BLANK = np.full((SIDE, SIDE, 3), 255, np.uint8)


@pytest.fixture
def slides(cassandra: tfcass.Cluster, keyspace: str) -> dict[str, list[uuid.UUID]]:
    """Two laboratories, and a slide without tissue."""
    return write_slides(
        cassandra, keyspace, {"usual": patches("usual"), "violet": patches("violet"), "blank": [BLANK, BLANK]}
    )


def _run(cluster: tfcass.Cluster, keyspace: str, folder: Path, **changes: Any) -> dict[str, Any]:
    settings = {"to": "data_macenko", "output": str(folder / "out"), "workers": 1, "progress": False}
    return run(StainRun(keyspace=keyspace, cluster=cluster, **{**settings, **changes}))


def _pictures(session: Any, keyspace: str, table: str) -> dict[uuid.UUID, tuple[int, np.ndarray]]:
    rows = session.execute(f"SELECT patch_id, label, data FROM {keyspace}.{table}")
    return {row[0]: (row[1], decode(row[2])) for row in rows}


def _difference(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    """Between the mean colours of two slides' tissue."""
    means = [np.concatenate([p[:, : SIDE // 2].reshape(-1, 3) for p in slide]).mean(axis=0) for slide in (one, other)]
    return float(np.abs(means[0] - means[1]).max())


def test_slides_of_two_laboratories_look_alike_in_the_second_table(
    cassandra: tfcass.Cluster, cassandra_session, keyspace: str, slides: dict[str, list[uuid.UUID]], tmp_path: Path
) -> None:
    summary = _run(cassandra, keyspace, tmp_path)

    assert summary["complete"]
    assert summary["slides"] == {"with_statistics": 3, "fitted": 3, "stored_before": 0}
    assert summary["patches"] == {"planned": 14, "written": 14, "skipped": 0, "unchanged": 2, "failed": 0}
    assert summary["slides_unusable"] == ["blank slide 0: too little tissue: 0 pixels, 2,000 are needed"]
    before, after = (_pictures(cassandra_session, keyspace, name) for name in ("data_by_uuid", "data_macenko"))
    assert {key: label for key, (label, _) in after.items()} == {key: label for key, (label, _) in before.items()}
    of = {
        (name, table is after): [table[key][1] for key in slides[name]]
        for name in ("usual", "violet")
        for table in (before, after)
    }
    assert _difference(of["usual", False], of["violet", False]) > 40
    assert _difference(of["usual", True], of["violet", True]) < 12
    assert all((after[key][1] == 255).all() for key in slides["blank"])
    glass = after[slides["violet"][-1]][1][:, SIDE // 2 + 8 :]
    assert glass.min() >= 238  # Neither black nor red.
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary


def test_training_that_normalises_while_it_reads_sees_what_the_second_table_holds(
    cassandra: tfcass.Cluster, cassandra_session, keyspace: str, tmp_path: Path
) -> None:
    write_slides(cassandra, keyspace, {"usual": patches("usual", 3), "violet": patches("violet", 3), "blank": [BLANK]})
    _run(cassandra, keyspace, tmp_path)
    rows = tfcass.read_rows(f"{keyspace}.metadata_by_nat", cluster=cassandra)
    of = tfcass.stain.read_statistics(f"{keyspace}.stain_by_slide", cluster=cassandra).by_key(rows)

    def shown(row: dict[str, Any]) -> tuple[Any, Any]:
        image = tfcass.images.decode_image(row["data"])
        return row["patch_id"], tfcass.stain.normalise(image, of(row["patch_id"]), method="macenko")

    keys = tfcass.keys(uuid.UUID(bytes=key) for key in rows["patch_id"].to_pylist())
    dataset = tfcass.CassandraDataset(keys, table=f"{keyspace}.data_by_uuid", cluster=cassandra).map(shown)

    expected = _pictures(cassandra_session, keyspace, "data_macenko")
    seen = {uuid.UUID(bytes=key.tobytes()): image for key, image in dataset.as_numpy_iterator()}
    assert seen.keys() == expected.keys() and len(seen) == 7
    for key, image in seen.items():
        assert np.abs(image.astype(int) - expected[key][1]).max() <= 1


def test_label_masks_are_copied(cassandra: tfcass.Cluster, cassandra_session, keyspace: str, tmp_path: Path) -> None:
    masks = [encode_mask(np.full((SIDE, SIDE), label, np.uint8)) for label in (0, 1)]
    ids = write_slides(cassandra, keyspace, {"usual": patches("usual", 2)}, labels=masks)["usual"]

    assert _run(cassandra, keyspace, tmp_path)["complete"]

    rows = cassandra_session.execute(f"SELECT patch_id, label FROM {keyspace}.data_macenko")
    assert {row[0]: row[1] for row in rows} == dict(zip(ids, masks, strict=True))


def test_a_second_run_finds_statistics_and_patches_and_another_method_is_refused(
    cassandra: tfcass.Cluster, cassandra_session, keyspace: str, slides: dict[str, list[uuid.UUID]], tmp_path: Path
) -> None:
    _run(cassandra, keyspace, tmp_path)
    cassandra_session.execute(f"DELETE FROM {keyspace}.data_macenko WHERE patch_id = {slides['violet'][2]}")

    summary = _run(cassandra, keyspace, tmp_path)

    assert summary["slides"] == {"with_statistics": 3, "fitted": 0, "stored_before": 3}
    assert summary["patches"] == {"planned": 14, "written": 1, "skipped": 13, "unchanged": 0, "failed": 0}
    with pytest.raises(OptionError, match="rows are of another kind.*give another name"):
        _run(cassandra, keyspace, tmp_path, method="reinhard")


def test_the_same_statistics_in_two_processes_by_another_route(
    cassandra: tfcass.Cluster, keyspace: str, slides: dict[str, list[uuid.UUID]], tmp_path: Path
) -> None:
    _run(cassandra, keyspace, tmp_path, fit_only=True)
    before = read_stain_table(cassandra, f"{keyspace}.stain_by_slide")
    flags = ["--keyspace", keyspace, "--host", cassandra.contact_points[0], "--port", str(cassandra.port)]

    code = main([*flags, "--fit-only", "--refit", "--workers", "2", "--output", str(tmp_path / "two")])

    after = read_stain_table(cassandra, f"{keyspace}.stain_by_slide")
    assert code == 0
    assert {slide: (name, str(found)) for slide, (name, found) in after.items()} == {
        slide: (name, str(found)) for slide, (name, found) in before.items()
    }


def test_patches_that_are_absent_or_damaged_are_listed_and_the_others_written(
    cassandra: tfcass.Cluster,
    cassandra_session,
    keyspace: str,
    slides: dict[str, list[uuid.UUID]],
    tmp_path: Path,
    capsys,
) -> None:
    absent, damaged = slides["usual"][0], slides["violet"][1]
    cassandra_session.execute(f"DELETE FROM {keyspace}.data_by_uuid WHERE patch_id = {absent}")
    cassandra_session.execute(f"UPDATE {keyspace}.data_by_uuid SET data = 0x89504e47 WHERE patch_id = {damaged}")
    flags = ["--keyspace", keyspace, "--host", cassandra.contact_points[0], "--port", str(cassandra.port)]
    flags += ["--to", "data_reinhard", "--method", "reinhard", "--encoding", "jpeg", "--workers", "1"]

    code = main([*flags, "--output", str(tmp_path / "out")])

    assert code == 3
    letters = [json.loads(line) for line in (tmp_path / "out" / "dead_letters.jsonl").read_text().splitlines()]
    told = {(letter["patch_id"], letter["stage"]) for letter in letters}
    assert told == {(str(key), stage) for key in (absent, damaged) for stage in ("fit", "normalise")}
    assert "14 patches = 12 written to" in capsys.readouterr().out
    rows = cassandra_session.execute(f"SELECT data FROM {keyspace}.data_reinhard")
    assert [row[0][:3] for row in rows] == [b"\xff\xd8\xff"] * 12


def test_the_reference_may_be_a_slide_or_a_file(
    cassandra: tfcass.Cluster, cassandra_session, keyspace: str, tmp_path: Path
) -> None:
    ids = write_slides(cassandra, keyspace, {"usual": patches("usual", 3), "violet": patches("violet", 3)})
    _run(cassandra, keyspace, tmp_path, to="like_usual", reference="usual")
    before, after = (_pictures(cassandra_session, keyspace, name) for name in ("data_by_uuid", "like_usual"))
    for key in ids["usual"]:
        assert np.abs(before[key][1].astype(int) - after[key][1]).max() <= 1  # Brought to what it is.

    save_reference(tmp_path / "lab.json", fit_picture(patches("usual")[0]))
    assert _run(cassandra, keyspace, tmp_path, to="like_file", reference=str(tmp_path / "lab.json"))["complete"]
    (tmp_path / "bad.json").write_text("{}")
    for reference, reason in (
        (str(tmp_path / "bad.json"), "has no 'mean_l'"),
        ("usaul", "slides: usual.tif, violet.tif"),
    ):
        with pytest.raises(OptionError, match=reason):
            _run(cassandra, keyspace, tmp_path, to="other", reference=reference)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": "vahadane"}, "'vahadane' is not one of macenko, reinhard"),
        ({"to": ""}, "no table given"),
        ({"to": "data_by_uuid"}, "is a table that is read"),
        ({"keyspace": ""}, "no keyspace"),
        ({"cluster": None}, "no cluster"),
        ({"fit_patches": 0}, "fit_patches=0"),
        ({"encoding": "gif"}, "'gif' is not known"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], reason: str) -> None:
    settings = {"keyspace": "k", "cluster": tfcass.Cluster(["127.0.0.1"]), "to": "t", "output": "o"}
    with pytest.raises(OptionError, match=reason):
        StainRun(**{**settings, **changes})


def test_a_table_that_is_not_there_is_named(cassandra: tfcass.Cluster, keyspace: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="metadata_by_nat"):
        _run(cassandra, keyspace, tmp_path)


def test_a_cluster_that_is_down_is_one_line(tmp_path: Path, capsys) -> None:
    where = ["--host", "127.0.0.1", "--port", str(free_port(["127.0.0.1"]))]

    assert main(["--keyspace", "k", "--to", "t", "--output", str(tmp_path), *where]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "127.0.0.1" in line


def test_the_default_reference_can_be_used_by_both_methods() -> None:
    assert DEFAULT_REFERENCE.usable("macenko") and DEFAULT_REFERENCE.usable("reinhard")
