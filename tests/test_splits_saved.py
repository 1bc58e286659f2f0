"""Splits on disk: what is loaded is what was saved, or a clear error."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.split_rows import patients
from tfcass import _files
from tfcass.errors import SplitError
from tfcass.splits import Splits, split
from tfcass.splits.store import seal

RATIOS = {"train": 8, "val": 2}
ROWS = patients([(5, 5)] * 10)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    split(ROWS, ratios=RATIOS, group_by="patient_id", bags={"val": ["p3"]}, max_patches=60).save(tmp_path / "splits")
    return tmp_path / "splits"


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splits")
    split(ROWS, ratios=RATIOS, group_by="patient_id", where="label >= 0").save(folder)
    return folder


def the_file(folder: Path, name: str) -> Path:
    return next(folder.glob(f"{name}-*.parquet"))


def test_loaded_splits_equal_the_saved_ones(tmp_path: Path) -> None:
    splits = split(ROWS, ratios=RATIOS, group_by="patient_id", balance="equal", bags={"val": ["p3"]}, max_patches=60)

    splits.save(tmp_path)
    loaded = Splits.load(tmp_path)

    assert loaded.names == splits.names
    assert loaded.digest == splits.digest
    assert loaded.recipe == splits.recipe
    assert loaded.report() == splits.report()
    for name in splits.names:
        assert loaded.table(name).equals(splits.table(name))
        assert np.array_equal(loaded.keys(name), splits.keys(name))


def test_folds_survive_a_round_trip(tmp_path: Path) -> None:
    splits = split(ROWS, folds=3, group_by="patient_id")

    splits.save(tmp_path)

    assert Splits.load(tmp_path).fold(1).digest == splits.fold(1).digest


def test_the_manifest_says_how_the_splits_were_made(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())

    assert manifest["recipe"]["ratios"] == {"train": 8.0, "val": 2.0}
    assert manifest["recipe"]["bags"] == {"val": ["p3"]}
    assert manifest["recipe"]["input_rows"] == 100
    assert manifest["splits"]["train"]["rows"] == 48
    assert manifest["report"]["leaks"] == {}
    assert manifest["versions"]["numpy"] == np.__version__


def test_saving_again_replaces_the_old_splits(saved: Path) -> None:
    other = split(ROWS, ratios={"train": 1, "test": 1}, seed=9)

    other.save(saved)

    assert Splits.load(saved).digest == other.digest
    assert sorted(path.name.split("-")[0] for path in saved.iterdir()) == ["manifest.json", "test", "train"]


def test_a_full_disk_leaves_the_old_splits(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Splits.load(saved).digest

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(SplitError, match="cannot save splits in .*No space left on device"):
        split(ROWS, ratios=RATIOS, seed=1).save(saved)

    assert Splits.load(saved).digest == before
    assert not [path for path in saved.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("files_before", [0, 1, 2])
def test_ctrl_c_while_saving_leaves_the_old_splits_and_saving_again_completes(
    saved: Path, monkeypatch: pytest.MonkeyPatch, files_before: int
) -> None:
    before = Splits.load(saved).digest
    other = split(ROWS, ratios=RATIOS, seed=1)
    moved: list[object] = []

    def interrupted(*paths: object) -> None:
        if len(moved) == files_before:
            raise KeyboardInterrupt
        moved.append(paths)
        os.rename(*paths)

    with monkeypatch.context() as patched:
        patched.setattr(_files.os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            other.save(saved)

    assert Splits.load(saved).digest == before
    assert not [path for path in saved.iterdir() if path.name.startswith(".")]
    other.save(saved)
    assert Splits.load(saved).digest == other.digest
    assert sorted(path.name.split("-")[0] for path in saved.iterdir()) == ["manifest.json", "train", "val"]


def test_no_splits_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    with pytest.raises(SplitError, match=r"manifest.json is absent \(found: notes.txt\)"):
        Splits.load(tmp_path)
    with pytest.raises(SplitError, match="no such folder"):
        Splits.load(tmp_path / "absent")


@pytest.mark.parametrize("damage", ["flip a bit", "cut", "remove"])
def test_a_damaged_file_is_named(saved: Path, damage: str) -> None:
    file = the_file(saved, "train")
    data = bytearray(file.read_bytes())
    if damage == "flip a bit":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    else:
        file.unlink()

    with pytest.raises(SplitError, match=f"are damaged: {file.name} (has|\\(|is absent)"):
        Splits.load(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "\0", '{"format": "tfcass splits 2"}', '{"format": 2}'])
def test_a_damaged_manifest(saved: Path, text: str) -> None:
    (saved / "manifest.json").write_text(text)

    with pytest.raises(SplitError, match="manifest.json"):
        Splits.load(saved)


def test_splits_of_an_older_version_are_refused(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps({**manifest, "format": "tfcass splits 1"}))

    with pytest.raises(SplitError, match="has format 'tfcass splits 1'; this tfcass reads .*: make the splits again"):
        Splits.load(saved)


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_any_damage_to_any_file_is_found(saved_once: Path, data) -> None:
    folder = saved_once
    files = sorted(folder.iterdir())
    file = data.draw(st.sampled_from(files))
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        damaged = content[:at]
    else:
        damaged = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    try:
        file.write_bytes(damaged)
        try:
            loaded = Splits.load(folder)
        except SplitError:
            return
        assert file.name == "manifest.json"  # Blanks in JSON mean nothing.
        assert json.loads(damaged) == json.loads(content)
        assert loaded.digest == json.loads(content)["digest"]
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["recipe"].pop("labelling"),
        lambda manifest: manifest["recipe"].update(labelling=7),
        lambda manifest: manifest["recipe"].update(bags=[]),
        lambda manifest: manifest["recipe"].update(unknown=1),
        lambda manifest: manifest["recipe"].update(ratios={"train": 1}),
        lambda manifest: manifest["recipe"].update(key="patch"),
        lambda manifest: manifest["recipe"].update(label="lable"),
        lambda manifest: manifest["recipe"].update(group_by=["nobody"]),
        lambda manifest: manifest.update(splits=[]),
        lambda manifest: manifest["splits"].pop("val"),
        lambda manifest: manifest["splits"]["val"].pop("sha256"),
        lambda manifest: manifest["splits"]["val"].update(rows="many"),
        lambda manifest: manifest.pop("digest"),
    ],
)
def test_a_manifest_that_was_forged_with_its_digest_is_refused(saved: Path, change) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    change(manifest)
    (saved / "manifest.json").write_text(json.dumps(seal(manifest)))

    with pytest.raises(SplitError, match="are damaged"):
        Splits.load(saved)


def test_a_file_that_was_edited_together_with_its_hash_is_found(saved: Path) -> None:
    train, val = (pq.read_table(the_file(saved, name)) for name in ("train", "val"))
    moved = pa.concat_tables([val, train.slice(0, 1)])
    rewrite(saved, {"train": train.slice(1), "val": moved})

    with pytest.raises(SplitError, match="the keys are not those that the manifest was written for"):
        Splits.load(saved)


def test_leaks_show_in_the_report_of_tables_that_leak() -> None:
    splits = split(ROWS, ratios=RATIOS, group_by="patient_id")
    row = splits.table("train").slice(0, 1)
    leaking = Splits(
        {"train": splits.table("train").slice(1), "val": pa.concat_tables([splits.table("val"), row])}, splits.recipe
    )

    assert leaking.report().leaks == {row.column("patient_id")[0].as_py(): ("train", "val")}
    assert "1 groups (patient_id) in several splits" in str(leaking.report())


def test_leaking_splits_are_refused_when_loaded(tmp_path: Path) -> None:
    splits = split(ROWS, ratios=RATIOS, group_by="patient_id")
    row = splits.table("train").slice(0, 1)
    Splits(
        {"train": splits.table("train").slice(1), "val": pa.concat_tables([splits.table("val"), row])}, splits.recipe
    ).save(tmp_path)

    with pytest.raises(SplitError, match="group 'p.' of patient_id is in several splits"):
        Splits.load(tmp_path)


def test_a_manifest_cannot_point_out_of_the_folder(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["splits"]["val"]["file"] = "../elsewhere.parquet"
    (saved / "manifest.json").write_text(json.dumps(seal(manifest)))

    with pytest.raises(SplitError, match="outside the folder"):
        Splits.load(saved)


def test_splits_need_neither_tensorflow_nor_a_driver() -> None:
    code = (
        "import sys, tfcass.splits, tfcass.sharding;"
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'cassandra', 'horovod')))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    assert subprocess.run([sys.executable, "-c", code], env=env, timeout=60).returncode == 0


def rewrite(folder: Path, tables: dict[str, pa.Table]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, table in tables.items():
        file = the_file(folder, name)
        pq.write_table(table, file)
        manifest["splits"][name] |= {
            "rows": table.num_rows,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
    (folder / "manifest.json").write_text(json.dumps(seal(manifest)))
