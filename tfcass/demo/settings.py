"""What the demo is asked to do, and where it puts things."""

from pathlib import Path

import attrs

from tfcass.errors import OptionError

KEYSPACE = "demo"
METADATA_TABLE = f"{KEYSPACE}.metadata_by_nat"
DATA_TABLE = f"{KEYSPACE}.data_by_uuid"
QUICK = {"patients": 5, "slides_per_patient": (1,), "size_px": 6144, "epochs": 10, "max_patches": 250, "batch_size": 8}
RATIOS = {"train": 6, "val": 2, "test": 2}


@attrs.frozen(kw_only=True)
class DemoSettings:
    """One demo run.

    Attributes:
      out: Folder of everything it writes.
      nodes: Cassandra nodes, 1 to 3.
      patients: Patients, at least 4: three splits, and training sees several.
      slides_per_patient: Slides of the first, second, ... patient, taken in turn.
      size_px: Side of a slide at level 0.
      epochs: Passes over the training split, at least 1.
      max_patches: Patches over all splits at most.
      batch_size: Patches per step of each process.
      processes: Horovod processes.
      seed: Of slides, splits, training and the contact sheet.
      keep: Leave Cassandra running at the end.
    """

    out: Path
    nodes: int = 1
    patients: int = 8
    slides_per_patient: tuple[int, ...] = (2, 1)
    size_px: int = 10240
    epochs: int = 8
    max_patches: int = 1800
    batch_size: int = 16
    processes: int = 2
    seed: int = 7
    keep: bool = False

    def __attrs_post_init__(self) -> None:
        least = {"nodes": 1, "patients": 4, "size_px": 2048, "epochs": 1, "max_patches": 100}
        for name, low in {**least, "batch_size": 1, "processes": 1, "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < low:
                raise OptionError(f"{name}={value!r} is not a whole number of at least {low}")

    @classmethod
    def quick(cls, **changes) -> "DemoSettings":
        """The same way in about two minutes: fewer and smaller slides, a shorter training."""
        return cls(**{**QUICK, **changes})


@attrs.frozen
class Paths:
    """The output folder's parts."""

    out: Path

    @property
    def slides(self) -> Path:
        return self.out / "slides"

    @property
    def tiles(self) -> Path:
        """Masks, summary and dead letters of the tiling pipeline."""
        return self.out / "tiles"

    @property
    def splits(self) -> Path:
        return self.out / "splits"

    @property
    def training(self) -> Path:
        return self.out / "training"

    @property
    def predictions(self) -> Path:
        return self.out / "predictions.parquet"

    @property
    def speed(self) -> Path:
        """How fast the patches were read, and how many test patches were predicted right."""
        return self.out / "speed.json"

    @property
    def cluster(self) -> Path:
        """Home of the demo's own development cluster."""
        return self.out / "cluster"

    @property
    def state(self) -> Path:
        return self.out / "state.json"

    @property
    def report(self) -> Path:
        return self.out / "report.html"

    def log(self, stage: str) -> Path:
        return self.out / "logs" / f"{stage}.log"
