"""The stages of the demo, from an empty folder to the report. What each does is told by its method of `Plan`."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tfcass
from beam_pipelines.drawing.wording import count, percent
from tfcass.demo.children import run_program
from tfcass.demo.horovod import horovodrun, of_a_rank, training_program, without_rank
from tfcass.demo.services import DemoCluster
from tfcass.demo.settings import KEYSPACE, METADATA_TABLE, RATIOS, DemoSettings, Paths
from tfcass.demo.stages import Stage
from tfcass.demo.workplace import continue_or_clear, read_json

Show = Callable[[str], None]
Result = Mapping[str, Any]


class Plan:
    """Makes the stages; each method below is what one of them does."""

    def __init__(self, settings: DemoSettings, cluster: DemoCluster, *, since: str) -> None:
        self._settings = settings
        self._since = since
        self._paths = Paths(settings.out)
        self._cluster = cluster

    def stages(self) -> list[Stage]:
        settings, paths = self._settings, self._paths
        return [
            Stage(
                "cassandra",
                "Cassandra",
                f"starts {settings.nodes} node{'s' * (settings.nodes > 1)} on loopback",
                {"nodes": settings.nodes},
                [paths.cluster / "state.json"],
                self._start,
                once=False,
            ),
            Stage(
                "slides",
                "Slides",
                "composes slides and annotations from tissue pictures",
                self._slide_settings(),
                [paths.slides / "slides.csv", paths.slides / "slides"],
                self._compose,
            ),
            Stage(
                "tile",
                "Tile",
                "Beam cuts the slides and writes the patches to Cassandra",
                {"nodes": settings.nodes},
                [paths.tiles / "summary.json"],
                self._tile,
                still_there=lambda result: self._rows_stored() == result["rows"],
            ),
            Stage(
                "split",
                "Split",
                "reads the metadata and splits by patient",
                {"ratios": RATIOS, "max_patches": settings.max_patches, "seed": settings.seed},
                [paths.splits / "manifest.json"],
                self._split,
            ),
            Stage(
                "train",
                "Train",
                f"{settings.processes} Horovod processes read their shards through the op",
                self._training_settings(),
                [paths.training / "model.keras", paths.training / "history.json", paths.training / "confusion.json"],
                self._train,
            ),
            Stage(
                "predict",
                "Predict",
                "classifies the slides of the test patients",
                {"seed": settings.seed},
                [paths.predictions, paths.speed],
                self._predict,
            ),
            Stage(
                "report",
                "Report",
                "reads patches back and draws the report",
                {"seed": settings.seed},
                [paths.report],
                self._report,
            ),
        ]

    def _start(self, show: Show) -> Result:
        self._cluster.up(show)
        with self._cluster.connect().session() as session:
            version = session.execute("SELECT release_version FROM system.local").one().release_version
        nodes = self._settings.nodes
        return {"summary": f"Cassandra {version}, {nodes} node{'s' * (nodes > 1)} on loopback", "version": version}

    def _compose(self, show: Show) -> Result:
        settings, paths = self._settings, self._paths
        continue_or_clear(paths.slides, self._slide_settings())
        command = ["demo", "slides", "--out", str(paths.slides), "--patients", str(settings.patients)]
        command += ["--size", str(settings.size_px), "--seed", str(settings.seed)]
        command += ["--slides-per-patient", ",".join(map(str, settings.slides_per_patient))]
        self._python("slides", ["-m", "tfcass.cli", *command], show)
        slides = list((paths.slides / "slides").iterdir())
        megabytes = sum(path.stat().st_size for path in slides) / 1e6
        return {
            "summary": f"{len(slides)} slides of {settings.size_px:,} px, {megabytes:,.0f} MB",
            "slides": len(slides),
        }

    def _tile(self, show: Show) -> Result:
        paths, cluster = self._paths, self._cluster.connect()
        if not continue_or_clear(paths.tiles, self._slide_settings()):
            with cluster.session() as session:  # Patches of other slides.
                session.execute(f"DROP KEYSPACE IF EXISTS {KEYSPACE}", timeout=60)
        command = ["--slides", str(paths.slides / "slides"), "--annotations", str(paths.slides / "annotations" / "*")]
        command += ["--slide-table", str(paths.slides / "slides.csv"), "--output", str(paths.tiles)]
        command += ["--keyspace", KEYSPACE, *self._address()]
        self._python("tile", ["-m", "beam_pipelines.tile_slides", *command], show)
        summary = read_json(paths.tiles / "summary.json")
        patches = summary["patches"]
        earlier = f", {count(patches['skipped'])} of them before" if patches["skipped"] else ""
        return {
            "summary": f"{count(patches['stored'])} patches of {len(summary['slides'])} slides stored{earlier}",
            "rows": patches["stored"],
            "rows_what": "written",
            "rows_per_s": patches["written"] / summary["seconds"]["tile"] if patches["written"] else None,
        }

    def _rows_stored(self) -> int:
        try:
            return tfcass.read_rows(METADATA_TABLE, cluster=self._cluster.connect(), columns=["label"]).num_rows
        except tfcass.SchemaError:  # No such table: nothing is stored.
            return 0

    def _split(self, show: Show) -> Result:
        settings = self._settings
        show("reading the metadata")
        rows = tfcass.read_rows(METADATA_TABLE, cluster=self._cluster.connect())
        splits = tfcass.split(
            rows, ratios=RATIOS, group_by=["patient_id"], max_patches=settings.max_patches, seed=settings.seed
        )
        splits.save(self._paths.splits)
        parts = ", ".join(f"{name} {count(splits.table(name).num_rows)}" for name in splits.names)
        return {"summary": f"by patient: {parts}", "rows": rows.num_rows, "rows_what": "scanned"}

    def _train(self, show: Show) -> Result:
        settings, paths = self._settings, self._paths
        purpose = {**self._training_settings(), "splits": tfcass.Splits.load(paths.splits).digest}
        continue_or_clear(paths.training, purpose)
        # Its default host is the first node; horovodrun's own parser stumbles over a program's --host.
        port = str(self._cluster.connect().port)
        command = [*horovodrun(settings.processes), sys.executable, str(training_program()), "--port", port]
        command += ["--keyspace", KEYSPACE, "--splits", str(paths.splits), "--out", str(paths.training)]
        command += ["--epochs", str(settings.epochs), "--batch", str(settings.batch_size), "--seed", str(settings.seed)]
        self._run("train", command, lambda line: show(without_rank(line)), telling=of_a_rank)
        summary, confusion = read_json(paths.training / "summary.json"), read_json(paths.training / "confusion.json")
        return {
            "summary": f"{settings.epochs} epochs, validation accuracy {percent(confusion['accuracy'])}",
            "accuracy": confusion["accuracy"],
            "majority": confusion["majority"],
            "rows": settings.epochs * summary["train_rows"],
            "rows_what": "read",
            "rows_per_s": summary["rows_per_s"],
        }

    def _predict(self, show: Show) -> Result:
        self._python("predict", ["-m", "tfcass.demo.predict", *self._own_options()], show)
        speed = read_json(self._paths.speed)
        return {
            "summary": f"{percent(speed['accuracy'])} of the test patches right",
            "rows": speed["predicted_rows"],
            "rows_what": "read",
            "rows_per_s": speed["predicted_rows_per_s"],
        }

    def _report(self, show: Show) -> Result:
        self._python("report", ["-m", "tfcass.demo.report", *self._own_options(), "--since", self._since], show)
        megabytes = self._paths.report.stat().st_size / 1e6
        return {"summary": f"{self._paths.report} ({megabytes:.1f} MB)"}

    def _python(self, stage: str, arguments: Sequence[str], show: Show) -> None:
        self._run(stage, [sys.executable, *arguments], show)

    def _run(self, stage: str, command: Sequence[str], show: Show, **options: Any) -> None:
        """Runs a program with its output in the stage's log. It finds the tfcass that runs now, wherever it is run."""
        path = [str(Path(tfcass.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        env = {"PYTHONPATH": os.pathsep.join(filter(None, path)), "TF_CPP_MIN_LOG_LEVEL": "2"}
        run_program(command, log=self._paths.log(stage), env=env, on_line=show, **options)

    def _own_options(self) -> list[str]:
        return ["--out", str(self._settings.out), "--seed", str(self._settings.seed)]

    def _address(self) -> list[str]:
        cluster = self._cluster.connect()
        return ["--host", ",".join(cluster.contact_points), "--port", str(cluster.port)]

    def _slide_settings(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "patients": settings.patients,
            "slides_per_patient": settings.slides_per_patient,
            "size_px": settings.size_px,
            "seed": settings.seed,
        }

    def _training_settings(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "processes": settings.processes,
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "seed": settings.seed,
        }
