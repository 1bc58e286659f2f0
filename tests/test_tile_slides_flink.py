"""The tiling pipeline on a real Flink, through Beam's portable runner."""

import json

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

import tfcass
from beam_pipelines.cassandraio import ReadFromCassandra
from beam_pipelines.tile_slides import main, run
from tests.support.flink import flink
from tests.support.tiling import Bench, stored

pytestmark = [pytest.mark.slides, pytest.mark.slow, pytest.mark.timeout(600)]


def test_flink_writes_the_rows_that_the_local_runner_writes(
    tmp_path, cassandra: tfcass.Cluster, cassandra_session, keyspace: str, capsys
) -> None:
    bench = Bench(tmp_path, cassandra, keyspace)
    for number in range(2):
        bench.annotated_slide(f"p{number}_0", side=6, tissue=5)
    (bench.folder / "slides" / "bad_1.svs").write_text("not a slide")
    local = run(bench.options())
    rows = stored(cassandra_session, keyspace)
    for table in (*rows, "slides"):
        cassandra_session.execute(f"TRUNCATE {keyspace}.{table}")

    with flink() as endpoint:
        flags = ["--runner=PortableRunner", f"--job_endpoint={endpoint}", "--environment_type=LOOPBACK"]
        code = main(bench.flags("--json", *flags))
        # Reading is a splittable DoFn, which each runner carries out in a way of its own.
        with beam.Pipeline(options=PipelineOptions([*flags, "--parallelism=2"])) as pipeline:
            ids = pipeline | ReadFromCassandra(bench.options().data_name, cluster=cassandra, columns=("patch_id",))
            expected = [{"patch_id": id} for id, *_ in rows["data_by_uuid"]]
            assert_that(ids, equal_to(expected))

    printed = capsys.readouterr()
    assert printed.out, printed.err
    summary = json.loads(printed.out)
    assert (code, local.exit_code, summary["patches"]["written"]) == (3, 3, 50)
    assert stored(cassandra_session, keyspace) == rows
    outcomes = [(slide["slide"], slide["status"], slide["stored"]) for slide in summary["slides"]]
    assert outcomes == [(slide.slide, slide.status, slide.stored) for slide in local.slides]
