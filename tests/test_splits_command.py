"""`tfcass split` and `tfcass inspect`: from Parquet and from a live table, tables, a picture, and clear errors."""

import json
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.support.command import run
from tests.support.split_rows import metadata
from tfcass.splits import Splits

ROWS = metadata(
    ["normal", "tumor"] * 120,
    [f"p{i // 8}" for i in range(240)],
    site=pa.array(["A", "B", "C"]).take(pa.array([i // 8 % 3 for i in range(240)])),
    level=pa.array([0, 0, 0, 1] * 60),
    score=pa.array([i / 240 for i in range(240)]),
)
BASIC = ("--ratios", "train=8,val=1,test=1", "--group-by", "patient_id")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("metadata") / "rows.parquet"
    pq.write_table(ROWS, path)
    return str(path)


@pytest.fixture
def saved(source: str, tmp_path: Path) -> str:
    folder = str(tmp_path / "splits")
    assert run("split", source, folder, *BASIC, "--cover", "site").exit_code == 0
    return folder


def test_splits_of_a_parquet_file_are_shown_and_saved(source: str, tmp_path: Path) -> None:
    options = ["--where", "level == 0", "--cover", "site", "--bag", "val=p3", "--max-patches", "100", "--seed", "5"]

    result = run("split", source, str(tmp_path / "out"), *BASIC, *options, "--exclude", "patient_id=p7")

    splits = Splits.load(tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(str(splits.report()))
    assert splits.digest[:12] in result.stdout
    assert splits.report().dropped == {"where": 60, "exclude": 6}
    assert "p3" in splits.table("val").column("patient_id").to_pylist()
    assert "placing 240 rows" in result.stderr


def test_classes_and_quotas_on_the_command_line(source: str, tmp_path: Path) -> None:
    mapped = ["--label-map", "normal=0", "--label-map", "tumor=1", "--num-classes", "2", "--balance", "0=1,1=1"]
    first = run("split", source, str(tmp_path / "a"), *BASIC, *mapped, "--labels", "0,1")
    second = run("split", source, str(tmp_path / "b"), *BASIC, "--target", "tumor=50", "--target", "normal=20")
    third = run("split", source, str(tmp_path / "c"), *BASIC, "--label", "score", "--quantiles", "3")

    assert [result.exit_code for result in (first, second, third)] == [0, 0, 0]
    assert Splits.load(tmp_path / "a").classes == (0, 1)
    counts = [of.classes for of in Splits.load(tmp_path / "b").report().splits.values()]
    assert counts == [{"normal": 16, "tumor": 40}, {"normal": 2, "tumor": 5}, {"normal": 2, "tumor": 5}]
    assert len(Splits.load(tmp_path / "c").classes) == 3


def test_repeated_folds_have_a_folder_each(source: str, tmp_path: Path) -> None:
    result = run("split", source, str(tmp_path), "--folds", "3", "--repeats", "2", "--group-by", "patient_id")

    made = [Splits.load(tmp_path / f"repeat{i}") for i in range(2)]
    assert result.exit_code == 0
    assert made[0].names == ("fold0", "fold1", "fold2") and made[0].digest != made[1].digest


def test_extending(source: str, tmp_path: Path) -> None:
    pq.write_table(ROWS.filter(pc.field("site") != "C"), tmp_path / "old.parquet")
    run("split", str(tmp_path / "old.parquet"), str(tmp_path / "old"), *BASIC)

    result = run("split", source, str(tmp_path / "new"), "--extend", str(tmp_path / "old"))

    assert result.exit_code == 0, result.stderr
    assert Splits.load(tmp_path / "new").report().rows == 240
    assert "10 new groups, 0 old ones grew" in result.stdout


def test_splits_of_a_live_table(cassandra, cassandra_session, keyspace: str, tmp_path: Path) -> None:
    table = f"{keyspace}.metadata"
    cassandra_session.execute(
        f"CREATE TABLE {table} (patient_id text, x int, label int, patch_id uuid, PRIMARY KEY ((patient_id), x))"
    )
    data = f"{keyspace}.data"
    cassandra_session.execute(f"CREATE TABLE {data} (patch_id uuid PRIMARY KEY, label int)")
    ids = [uuid.uuid5(uuid.NAMESPACE_OID, str(i)) for i in range(60)]
    for i, key in enumerate(ids):
        cassandra_session.execute(
            f"INSERT INTO {table} (patient_id, x, label, patch_id) VALUES (%s, %s, %s, %s)",
            (f"p{i // 6}", i, i % 2, key),
        )
        if i != 17:
            cassandra_session.execute(f"INSERT INTO {data} (patch_id, label) VALUES (%s, %s)", (key, i % 2))
    host = ["--host", cassandra.contact_points[0], "--port", str(cassandra.port)]
    folder, pruned = str(tmp_path / "splits"), str(tmp_path / "pruned")

    made = run("split", table, folder, "--ratios", "train=3,val=1", "--group-by", "patient_id", *host)
    lacking = run("inspect", folder, "--table", data, *host)
    mended = run("inspect", folder, "--table", data, "--prune", pruned, *host)
    whole = run("inspect", pruned, "--table", data, *host)

    assert made.exit_code == 0, made.stderr
    assert lacking.exit_code == 1
    assert (
        f"error: {data} lacks 1 rows of these splits: 1 of split" in lacking.stderr and str(ids[17]) in lacking.stderr
    )
    assert mended.exit_code == 0 and "1 (pruned)" in mended.stdout
    assert whole.exit_code == 0 and f"{data} has every row of these splits" in whole.stdout
    assert Splits.load(pruned).report().rows == 59


def test_inspect_shows_classes_groups_and_constraints(saved: str) -> None:
    result = run("inspect", saved, "--by", "level")

    lines = [line.split() for line in result.stdout.splitlines()]
    counts = Splits.load(saved).report().splits
    assert result.exit_code == 0
    assert ["A", *(str(of.covers["site"]["A"]) for of in counts.values())] in lines
    assert ["train", str(counts["train"].groups), "8", "8", "8"] in [line[:5] for line in lines]
    assert any(line[:1] == ["tumor"] and f"{counts['val'].classes['tumor']}" in line for line in lines)
    assert any(line[:1] == ["level"] for line in lines)


def test_inspect_as_json(saved: str) -> None:
    result = run("inspect", saved, "--json")

    assert json.loads(result.stdout) == json.loads(json.dumps(Splits.load(saved).report().as_dict()))


def test_inspect_draws_a_picture(saved: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = run("inspect", saved, "--plot", str(tmp_path / "balance.png"))

    assert result.exit_code == 0
    assert (tmp_path / "balance.png").read_bytes().startswith(b"\x89PNG")
    assert "cannot draw into" in run("inspect", saved, "--plot", str(tmp_path / "no" / "such.png")).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ratios", "train=8,val=1", "--group-by", "patient"], "did you mean 'patient_id'"),
        (["--ratios", "train=8", "--where", "levle == 1"], "did you mean 'level'"),
        (["--ratios", "train=0,val=1"], "ratios['train']=0.0 is not a positive number"),
        (["--folds", "50", "--group-by", "patient_id"], "of 30 groups of patient_id"),
        (["--ratios", "a=1,b=1", "--columns", "patch_id,lable"], "did you mean 'label'"),
        ([], "give either ratios"),
    ],
)
def test_what_cannot_be_split_is_one_line(source: str, tmp_path: Path, arguments, message) -> None:
    result = run("split", source, str(tmp_path / "out"), *arguments)

    assert result.exit_code == 1
    assert message in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--ratios", "train"],
        ["--ratios", "train=x"],
        ["--ratios", "train=1,train=2"],
        ["--ratios", "a=1", "--max-patches", "many"],
        ["--ratios", "a=1", "--bag", "p3"],
        ["--ratios", "a=1", "--include", "level=one"],
        ["--ratios", "a=1", "--target", "tumor=-3"],
        ["--ratios", "a=1", "--repeats", "2"],
        ["--extend", "x", "--ratios", "a=1"],
    ],
)
def test_wrong_usage(source: str, tmp_path: Path, arguments) -> None:
    result = run("split", source, str(tmp_path / "out"), *arguments)

    assert (result.exit_code, result.stdout) == (2, "")


def test_sources_and_folders_that_do_not_do(saved: str, source: str, tmp_path: Path) -> None:
    (tmp_path / "notes.parquet").write_text("no Parquet")

    assert "is no file or folder, and no KEYSPACE.TABLE" in run("split", "nowhere", str(tmp_path / "o"), *BASIC).stderr
    assert "cannot be read as Parquet" in run("split", str(tmp_path / "notes.parquet"), saved + "2", *BASIC).stderr
    assert "holds splits already; pass --replace" in run("split", source, saved, *BASIC).stderr
    assert run("split", source, saved, *BASIC, "--replace").exit_code == 0
    assert "manifest.json is absent" in run("inspect", str(tmp_path)).stderr
    assert run("inspect", saved, "--prune", "x").exit_code == 2
