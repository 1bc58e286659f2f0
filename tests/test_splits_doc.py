"""What docs/splits.md shows runs as it stands there, but for the cluster."""

import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfcass
import tfcass.splits
from tests.support.command import run
from tests.support.split_rows import metadata

TEXT = (Path(__file__).parents[1] / "docs" / "splits.md").read_text()
NAMES = ["benign", "gleason3", "gleason4", "artefact"]


def rows_of(prefix: str, patients: int = 40) -> pa.Table:
    n = patients * 16
    table = metadata(
        [NAMES[i % 4] for i in range(n)],
        [f"{prefix}{i // 16}" for i in range(n)],
        slide_num=pa.array([i // 8 % 2 for i in range(n)]),
        level=pa.array([1, 1, 1, 0] * (n // 4)).take(pa.array(np.arange(n) // 4 % 4)),
        site=pa.array(["A", "B", "C"]).take(pa.array(np.arange(n) // 16 % 3)),
        survival=pa.array(np.arange(n) * 37 % 1009 / 10.0),
        tissues=pa.array([[name for bit, name in enumerate("xyz") if i >> bit & 1] for i in range(n)]),
    )
    return table.set_column(0, "patch_id", _keys(prefix, n))


def _keys(prefix: str, n: int) -> pa.Array:
    from tests.support.split_rows import key_column

    return key_column([f"{prefix}{i}" for i in range(n)])


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows, other = rows_of("p"), rows_of("centre2-")
    tables = {"wsi.metadata_by_nat": rows, "wsi.data_by_uuid": pa.concat_tables([rows, other]).slice(5)}
    monkeypatch.setattr(
        tfcass, "read_rows", lambda table, cluster, columns=None: tables[table].select(columns or rows.column_names)
    )
    names = {
        "tfcass": tfcass,
        "cluster": None,
        "later": rows_of("new", 10),
        "other": tfcass.split(other, ratios={"train": 8, "val": 2}, group_by="patient_id"),
    }

    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)

    assert (tmp_path / "out" / "splits" / "manifest.json").exists()
    assert names["fold"].names == ("train", "val", "test")
    assert names["pruned"].missing_from(names["there"]) == {}
    assert sum(map(len, names["lost"].values())) > 0


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    pq.write_table(rows_of("p"), "metadata.parquet")
    (commands,) = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)

    for line in commands.strip().splitlines():
        words = shlex.split(re.sub(r"wsi\.\w+", "metadata.parquet", line))
        assert words[0] == "tfcass"
        result = run(*words[1:])
        assert result.exit_code == 0, result.stderr

    assert (tmp_path / "out" / "splits.png").exists()
