"""Jobs for runners far away: built here, with the environment of their workers, and run nowhere."""

import base64
import json

import pytest

import tfcass
from beam_pipelines.tile_slides import main
from tests.support.tiling import Bench

pytestmark = pytest.mark.slides

DATAFLOW = ("--runner=DataflowRunner", "--project=p", "--region=europe-west1", "--temp_location=gs://bucket/tmp")


@pytest.fixture
def bench(tmp_path) -> Bench:
    made = Bench(tmp_path, tfcass.Cluster(["192.0.2.1"]), "wsi")  # Nobody answers there.
    made.annotated_slide("p1_0", side=1, tissue=1)
    return made


def graph_of(bench: Bench, *flags: str) -> dict:
    path = bench.folder / "job.json"
    assert main(bench.flags("--job-graph", str(path), *flags)) == 0
    return json.loads(path.read_text())


def test_a_dataflow_job_is_built_without_dataflow_and_without_a_database(bench: Bench, capsys) -> None:
    job = graph_of(bench, *DATAFLOW, "--sdk_container_image=images/tfcass-beam:1")

    names = {transform["uniqueName"] for transform in job["components"]["transforms"].values()}
    assert {"Plan", "Spread patches", "Cut", "Write data", "Write metadata", "Deliver"} <= names
    (environment,) = (e for e in job["components"]["environments"].values() if e["urn"] == "beam:env:docker:v1")
    assert b"images/tfcass-beam:1" in base64.b64decode(environment["payload"])
    printed = capsys.readouterr().out
    assert "workers: images/tfcass-beam:1" in printed and "Write metadata" in printed
    assert not bench.output.exists()


def test_a_password_is_no_part_of_the_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASS_PW", "correct horse battery")

    graph_of(bench, *DATAFLOW, "--user", "writer", "--password-env", "CASS_PW")

    assert b"correct horse" not in (bench.folder / "job.json").read_bytes()
