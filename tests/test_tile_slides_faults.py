"""Databases that go away while slides are tiled: for a while, for good, and before the start."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tfcass
from beam_pipelines import tiling_pipeline
from beam_pipelines.row_writer import WriteOptions
from beam_pipelines.slides.plan import cut_and_judge
from beam_pipelines.tile_slides import main, run
from tests.support.proxy import Proxy, proxy_of
from tests.support.tiling import Bench, stored
from tfcass.errors import TfcassError

pytestmark = [pytest.mark.slides, pytest.mark.timeout(300)]

_PATCHES = 64


@pytest.fixture
def proxy(cassandra: tfcass.Cluster) -> Iterator[Proxy]:
    with proxy_of((cassandra.contact_points[0], cassandra.port)) as proxy:
        yield proxy


@pytest.fixture
def bench(tmp_path: Path, proxy: Proxy, keyspace: str) -> Bench:
    made = Bench(tmp_path, tfcass.Cluster(["127.0.0.1"], port=proxy.port), keyspace)
    for number in range(2):
        made.annotated_slide(f"p{number}_0", side=8, tissue=8)
    return made


def act_while_cutting(monkeypatch: pytest.MonkeyPatch, act: Any, *, after: int) -> None:
    """Calls `act` once, before patch number `after` is cut."""
    cut = iter(range(10**6))

    def cut_patch(*arguments: Any) -> Any:
        if next(cut) == after:
            act()
        return cut_and_judge(*arguments)

    monkeypatch.setattr(tiling_pipeline, "cut_and_judge", cut_patch)


def test_a_database_that_is_away_for_a_while_costs_time_and_no_patch(
    bench: Bench, proxy: Proxy, cassandra_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = threading.Timer(3.0, proxy.up)

    def outage() -> None:
        proxy.down()
        back.start()

    act_while_cutting(monkeypatch, outage, after=40)

    summary = run(bench.options(write=WriteOptions(max_in_flight=4)))

    back.join()
    assert (summary.complaints(), summary.total("written"), summary.total("stored")) == ([], 2 * _PATCHES, 2 * _PATCHES)
    assert len(stored(cassandra_session, bench.keyspace)["data_by_uuid"]) == 2 * _PATCHES


def test_a_database_that_stays_away_is_one_error_and_the_same_command_completes(
    bench: Bench, proxy: Proxy, cassandra_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    act_while_cutting(monkeypatch, proxy.down, after=40)
    with pytest.raises(TfcassError, match="Is the cluster up|no row could be written|cannot"):
        run(bench.options(write=WriteOptions(max_in_flight=4, fail_after_s=1.0, timeout_s=1.0)))
    assert not (bench.output / "summary.json").exists()
    proxy.up()
    rows = stored(cassandra_session, bench.keyspace)
    assert {row[0] for row in rows["metadata_by_nat"]} <= {row[0] for row in rows["data_by_uuid"]}
    monkeypatch.undo()

    again = run(bench.options())

    assert (again.exit_code, again.total("kept"), again.total("stored")) == (0, 2 * _PATCHES, 2 * _PATCHES)
    assert again.total("skipped") == len(rows["metadata_by_nat"])


def test_a_database_that_is_down_at_the_start_is_one_line(bench: Bench, proxy: Proxy, capsys: Any) -> None:
    proxy.down()

    code = main(bench.flags("--workers", "1"))

    (line,) = capsys.readouterr().err.splitlines()
    assert code == 1 and line.startswith("error: ") and str(proxy.port) in line
