"""The benchmarks' own arithmetic, files and programs. No time is asserted."""

import dataclasses
import json
import os
import socket
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks import harness, native, report
from benchmarks.__main__ import main
from benchmarks.harness import BenchmarkError, Goal, Result, Sample, alternate
from benchmarks.measure import Measured, Span, measured
from benchmarks.native import Shape, raw_loop
from benchmarks.registry import BENCHMARKS
from benchmarks.tables import Reading, Table
from benchmarks.worker import Worker
from tests.support.fetch_rows import patches

AT_LEAST_3 = Goal(3)


def result(
    name: str = "tiny", *, goal: Goal = AT_LEAST_3, ratios: Sequence[float] = (2.0, 4.0, 3.5), **fields
) -> Result:
    return Result(
        name=name,
        ours="ours in words",
        against="the other in words",
        unit="rows/s",
        goal=goal,
        samples=[Sample(ratio * 100, 100) for ratio in ratios],
        conditions={"machine": "two cores", "software": "some versions", "server": "a node"},
        detail={"ours CPU us/row": 7.5},
        **fields,
    )


class TestRatios:
    def test_the_ratio_is_the_median_of_the_rounds_and_not_of_the_sides(self):
        # Medians of the sides would give 20 / 10.
        samples = [Sample(10, 10), Sample(20, 2), Sample(90, 30)]
        made = Result("n", "a", "b", "u", Goal(1), samples, {})

        assert (made.ratio, made.min, made.max) == (3.0, 1.0, 10.0)

    @pytest.mark.parametrize(
        ("goal", "ratio", "reached"),
        [
            (Goal(1.4), 1.4, True),
            (Goal(1.4), 1.39, False),
            (Goal(0.55, at_least=False), 0.55, True),
            (Goal(0.55, at_least=False), 0.56, False),
        ],
    )
    def test_a_goal_is_a_bound_from_below_or_above(self, goal, ratio, reached):
        assert goal.reached_by(ratio) is reached

    def test_a_goal_says_which_way_it_goes(self):
        assert (str(Goal(2.5)), str(Goal(0.6, at_least=False))) == (">= 2.5", "<= 0.6")


class TestAlternation:
    def test_sides_alternate_and_every_second_round_starts_with_the_other(self):
        order = []

        def side(name):
            def measure():
                order.append(name)
                return f"{name}{len(order)}"

            return measure

        pairs = alternate(side("a"), side("b"), rounds=3, name="n", show=lambda a, b: "")

        assert order == ["b", "a", "a", "b", "b", "a", "a", "b"]
        assert pairs == [("a3", "b4"), ("a6", "b5"), ("a7", "b8")]  # The warm-up round is not among them.

    def test_the_warm_up_can_be_left_out(self):
        pairs = alternate(lambda: 1, lambda: 2, rounds=2, name="n", show=lambda a, b: "", warm_up=False)

        assert pairs == [(1, 2), (1, 2)]


class TestSpans:
    """Arrivals of ten rows at the given times; reading takes 1 s of CPU a row."""

    def measure(self, times: list[float], spans: list[Span]) -> list[Measured]:
        moment = 0.0
        rows = 0

        def arrivals():
            nonlocal moment, rows
            for moment in times:  # noqa: B007
                rows += 10
                yield 10

        return list(measured(arrivals(), spans, now=lambda: moment, cpu=lambda: float(rows)))

    def test_time_runs_from_the_first_arrival(self):
        assert self.measure([7, 8, 9], [Span(0, 2)]) == [Measured(20, 2.0, 20.0)]

    def test_what_came_before_the_span_does_not_count(self):
        (span,) = self.measure([0, 1, 2, 3, 4, 5, 6], [Span(2.5, 2)])

        assert span == Measured(
            rows=30, seconds=3.0, cpu_s=30.0
        )  # From 2, the last before 2.5, to 5, the first past 4.5.
        assert (span.rows_per_s, span.cpu_us_per_row) == (10.0, 1e6)

    def test_a_wait_across_the_start_counts(self):
        (span,) = self.measure([0, 1, 9, 10], [Span(2, 8)])

        assert span == Measured(rows=20, seconds=9.0, cpu_s=20.0)

    def test_spans_follow_each_other(self):
        spans = self.measure([0, 1, 2, 3, 4, 5, 6, 7], [Span(0, 2), Span(1, 2)])

        assert spans == [Measured(20, 2.0, 20.0), Measured(20, 2.0, 20.0)]  # From 0 to 2, and from 3 to 5.

    def test_an_input_that_ends_too_early_is_an_error(self):
        with pytest.raises(ValueError, match="ended after 30 rows"):
            self.measure([0, 1, 2], [Span(0, 5)])


class TestJson:
    def test_the_file_holds_what_the_architecture_names_and_the_goal(self, tmp_path):
        content = json.loads(result().save(tmp_path).read_text())

        assert {"name", "ratio", "samples", "unit", "against", "conditions"} <= content.keys()
        assert (content["name"], content["ratio"], content["min"], content["max"]) == ("tiny", 3.5, 2.0, 4.0)
        assert content["samples"][0] == {"ours": 200.0, "against": 100, "ratio": 2.0}
        assert (content["goal"], content["reached"]) == ({"at_least": 3}, True)

    def test_what_was_saved_is_loaded_again(self, tmp_path):
        saved = result(goal=Goal(0.5, at_least=False), quick=True)

        assert Result.load(saved.save(tmp_path)) == saved

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x", "goal": {"about": 1}}'])
    def test_another_file_is_refused_by_its_name(self, tmp_path, text):
        path = tmp_path / "x.json"
        path.write_text(text)

        with pytest.raises(BenchmarkError, match="x.json is not a result"):
            Result.load(path)


class TestReport:
    def test_the_table_tells_ratio_range_goal_and_verdict(self):
        lines = report.table([result(), result("client_cpu", goal=Goal(0.6, at_least=False))]).splitlines()

        assert lines[1].split() == ["tiny", "3.50", "2.00", "to", "4.00", ">=", "3", "yes"]
        assert lines[2].split() == ["client_cpu", "3.50", "2.00", "to", "4.00", "<=", "0.6", "no"]

    def test_results_come_in_the_order_of_the_registry(self, tmp_path):
        for name in ("wan", "grouped_one_cpu", "another", "grouped_one"):
            result(name).save(tmp_path)

        assert [r.name for r in report.load_all(tmp_path)] == ["grouped_one", "grouped_one_cpu", "wan", "another"]

    def test_without_results_it_says_what_to_do(self, tmp_path):
        with pytest.raises(BenchmarkError, match="run `make bench` first"):
            report.load_all(tmp_path)

    def test_the_numbers_in_the_document_are_those_of_the_results(self, tmp_path):
        document = tmp_path / "performance.md"
        begin, end = report._BEGIN, report._END
        document.write_text(f"before\n{begin}\nold numbers\n{end}\nafter\n")

        report.update(document, report.numbers([result()]))
        report.update(document, report.numbers([result(ratios=(9.0,))]))  # A second time replaces the first.

        text = document.read_text()
        assert text.startswith(f"before\n{begin}\n") and text.endswith(f"{end}\nafter\n")
        assert "| tiny | **9.00** | 9.00 to 9.00 | >= 3 | yes | 900 | 100 | rows/s |" in text
        assert "two cores; some versions" in text and "- ours CPU us/row: 7.5" in text
        assert "old numbers" not in text and "3.50" not in text

    def test_a_document_without_marks_is_refused(self, tmp_path):
        document = tmp_path / "performance.md"
        document.write_text("nothing")

        with pytest.raises(BenchmarkError, match="between which the numbers go"):
            report.update(document, "numbers")

    def test_the_document_that_is_there_has_the_marks(self):
        text = (report._DOCS / "performance.md").read_text()

        assert text.index(report._BEGIN) < text.index(report._END)

    def test_the_picture_is_a_png(self, tmp_path):
        report.plot([result(), result("memory", goal=Goal(1.5, at_least=False))], tmp_path / "p.png")

        assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


class TestCommand:
    def test_every_benchmark_of_the_list_has_a_name_of_its_own(self, capsys):
        assert main(["--list"]) == 0

        listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        assert listed == [benchmark.name for benchmark in BENCHMARKS]
        assert len(set(listed)) == len(listed)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["tyni"], "there is no benchmark 'tyni' (there are: grouped_one"),
            (["--rounds", "0"], "--rounds 0: must be"),
        ],
    )
    def test_wrong_usage_is_told_in_one_line(self, capsys, arguments, said):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)

        assert stopped.value.code == 2
        assert said in capsys.readouterr().err

    def test_a_benchmark_may_do_without_servers_and_a_failing_one_stops_no_other(self, monkeypatch, tmp_path, capsys):
        def fails(bench):
            raise BenchmarkError("it rains")

        def has_a_bug(bench):
            return {}["grouped"]

        def left_out(bench):
            raise harness.NotAvailable("not in this version")

        benchmarks = [
            harness.Benchmark("wet", fails, "fails"),
            harness.Benchmark("wrong", has_a_bug, "fails otherwise"),
            harness.Benchmark("later", left_out, "is left out"),
            harness.Benchmark("dry", lambda bench: [result("dry")], "runs"),
        ]
        monkeypatch.setattr("benchmarks.__main__.BENCHMARKS", benchmarks)
        monkeypatch.setattr("benchmarks.__main__.OUT", tmp_path)

        assert main([]) == 1

        told = capsys.readouterr()
        assert "wet was not measured: it rains" in told.err and "wrong was not measured: 'grouped'" in told.err
        assert "later: left out: not in this version" in told.err
        assert told.out.splitlines()[1].startswith("dry ")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["dry.json"]


def counting(start: int):
    """Made in a worker."""
    if start < 0:
        raise ValueError(f"start={start}")

    def count(steps: int):
        for step in range(steps):
            yield start + step, os.getpid()
        if steps == 0:
            os._exit(3)

    return count


class TestWorker:
    def test_it_answers_from_a_process_of_its_own_call_after_call(self):
        with Worker(counting, start=5) as worker:
            first, second = worker.call(2), worker.call(1)

        assert [number for number, _ in first + second] == [5, 6, 5]
        assert {pid for _, pid in first} == {pid for _, pid in second} != {os.getpid()}

    def test_its_failure_is_told_with_its_traceback(self):
        with pytest.raises(BenchmarkError, match="(?s)Traceback.*ValueError: start=-1"):
            Worker(counting, start=-1)

    def test_its_death_is_told(self):
        with Worker(counting, start=0) as worker, pytest.raises(BenchmarkError, match="died with exit code 3"):
            worker.call(0)


@pytest.fixture(scope="module")
def small_table(cassandra, cassandra_session, tmp_path_factory):
    """Fifty rows of 0 to 49 bytes, and an order in which to read them."""
    folder = tmp_path_factory.mktemp("reading")
    with patches(cassandra, cassandra_session, 50) as written:
        written.keys[np.random.default_rng(1).permutation(50)].tofile(folder / "keys")
        np.zeros(50, np.uint8).tofile(folder / "owners")
        (folder / "cluster").write_text(cassandra._canonical())
        yield Reading(
            table=Table(written.table, written.keys, 24, "fifty rows"),
            cluster=cassandra,
            keys_file=folder / "keys",
            owners_file=folder / "owners",
            hosts=list(cassandra.contact_points),
            cluster_file=folder / "cluster",
        )


class TestRawLoop:
    @pytest.mark.parametrize("shape", [Shape(1), Shape(16), Shape(1, 8), Shape(4, 8), Shape(64, 1000)])
    def test_it_counts_the_rows_and_bytes_that_it_read(self, small_table, shape):
        loop = raw_loop(small_table, shape, warm_s=0, measure_s=0, rows=50)

        assert (loop.rows, loop.bytes) == (50, sum(range(50)))
        assert loop.rows_per_s == pytest.approx(loop.rows / loop.seconds, rel=1e-3)
        assert 0 < loop.p50_ms <= loop.p99_ms

    @pytest.mark.parametrize("shape", [Shape(4), Shape(4, 10)])
    def test_after_the_last_key_it_starts_with_the_first_again(self, small_table, shape):
        loop = raw_loop(small_table, shape, warm_s=0, measure_s=0, rows=150)

        assert (loop.rows, loop.bytes) == (150, 3 * sum(range(50)))

    def test_a_timed_run_tells_its_rate(self, small_table):
        loop = raw_loop(small_table, Shape(4, 10), warm_s=0.05, measure_s=0.2)

        assert loop.rows > 0 and loop.seconds >= 0.2
        assert loop.rows_per_s == pytest.approx(loop.rows / loop.seconds, rel=1e-3)

    @pytest.mark.parametrize(("shape", "asked"), [(Shape(1), 1), (Shape(1, 10), 10)])
    def test_a_row_that_does_not_come_is_an_error(self, small_table, tmp_path, shape, asked):
        keys = np.fromfile(small_table.keys_file, np.uint8).reshape(-1, 16)
        keys[3] = 255
        keys.tofile(tmp_path / "keys")
        unfit = dataclasses.replace(small_table, keys_file=tmp_path / "keys")

        with pytest.raises(BenchmarkError, match=f"{asked} keys asked for, {asked - 1} rows came"):
            raw_loop(unfit, shape, warm_s=0, measure_s=0, rows=50)

    def test_owners_that_do_not_fit_the_keys_are_refused(self, small_table, tmp_path):
        (tmp_path / "owners").write_bytes(b"\x01" * 50)
        unfit = dataclasses.replace(small_table, owners_file=tmp_path / "owners")

        with pytest.raises(BenchmarkError, match="--owners names a host that is not in --hosts"):
            raw_loop(unfit, Shape(1, 10), warm_s=0, measure_s=0, rows=50)


class TestDelayProxy:
    @pytest.fixture
    def echo(self):
        """The address of a server that sends back what it gets, and hangs up when its client has."""

        def serve():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client):
            with client:
                while part := client.recv(65536):
                    client.sendall(part)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=serve, daemon=True).start()
            yield f"127.0.0.1:{listener.getsockname()[1]}"

    @pytest.fixture
    def port(self):
        with socket.create_server(("127.0.0.2", 0)) as free:
            return free.getsockname()[1]

    @pytest.mark.parametrize("round_trip_ms", [0, 60])
    def test_bytes_arrive_whole_in_order_and_not_before_the_round_trip(self, echo, port, round_trip_ms):
        sent = np.random.default_rng(2).bytes(5_000_000)
        with native.proxy(listen=f"127.0.0.2:{port}", server=echo) as proxy:
            proxy.set_round_trip(round_trip_ms)
            with socket.create_connection(("127.0.0.2", port)) as client:
                started = time.monotonic()
                threading.Thread(target=lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR))).start()
                received = client.recv(1)
                waited_ms = (time.monotonic() - started) * 1e3
                while part := client.recv(1 << 20):  # Ends when the server has hung up.
                    received += part

        assert received == sent
        assert waited_ms >= round_trip_ms

    def test_it_takes_several_connections_and_outlives_them(self, echo, port):
        with native.proxy(listen=f"127.0.0.2:{port}", server=echo):
            for _ in range(2):
                clients = [socket.create_connection(("127.0.0.2", port)) for _ in range(5)]
                for i, client in enumerate(clients):
                    client.sendall(bytes([i]))
                assert [client.recv(1)[0] for client in clients] == [0, 1, 2, 3, 4]
                for client in clients:
                    client.close()

    def test_its_own_ceiling_is_a_number(self):
        assert native.proxy_ceiling_mb_per_s(10, seconds=0.2) > 0
