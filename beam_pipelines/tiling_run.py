"""The frozen settings of a tiling run. Imports no Beam, so that a command can check them at once."""

import dataclasses
import re
from collections.abc import Mapping

from beam_pipelines import files
from beam_pipelines.local_copies import CopyCache
from beam_pipelines.row_writer import WriteOptions
from beam_pipelines.slides.annotations import check_frame
from beam_pipelines.slides.classes import DEFAULT_CLASSES, ClassMap
from beam_pipelines.slides.encode import check_encoding
from beam_pipelines.slides.labels import label_columns
from beam_pipelines.slides.tiles import TilingOptions
from tfcass.cluster import Cluster
from tfcass.errors import OptionError
from tfcass.schema import ColumnSpec

# Finds patient "TCGA-A1" and slide 2 in "TCGA-A1_2".
NAME_PATTERN = r"(?P<patient_id>.+?)[_-](?P<slide_num>\d+)$"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TilingRun:
    """One run of the tiling pipeline.

    Attributes:
      slides: Patterns of slide files, such as "slides/*.svs" or "gs://bucket/*.svs"; a folder (a URL that ends in "/")
        stands for the slides in it.
      output: Folder or URL for masks, ledger, summary, report and dead letters. Every worker writes to it.
      keyspace: Keyspace of both tables; made when absent.
      cluster: How the cluster is reached; may be None in a dry run.
      annotations: Patterns of .csv, .geojson, .json and .xml files (see slides/annotations.py).
      classes: What the labels in them mean, and how they are stored.
      annotation_frame: What their coordinates count from: "level0", "bounds", or "auto", as each program writes it.
      mpp_table: CSV with columns slide, mpp and perhaps mpp_y, for slides that do not tell it or tell it wrong.
      tissue_masks: Patterns of PNG files, <slide>.png or <slide>_tissue.png, taken instead of finding tissue.
      slide_table: CSV with columns slide, patient_id, slide_num; None takes them from the file names.
      name_pattern: Regular expression searched in a slide's file name less its suffix, with the groups patient_id and
        slide_num. A name without a match is a patient of its own, slide number 0.
      tiling: How slides are cut.
      encoding, quality: Of the stored patches: "jpeg" with a quality in [1, 100], "png" or "tiff".
      label_masks: For segmentation: the data table's label is a PNG mask of each patch instead of a number.
      metadata_table, data_table, slides_table: Names of the tables. Give each encoding a data table of its own, and
        each metadata table a table of slides of its own.
      write: Bounds and retries of the writes.
      workers: Processes of the local runner; 1 runs everything in this process.
      limit: The first so many slides only; None means all.
      overwrite: Writes patches again that are stored already, instead of skipping them.
      dry_run: Plans and draws masks; opens no connection and reads no patch.
      report: Writes report.html: what became of each slide, in pictures drawn from what the database returns.
      copies: Where slides on remote filesystems are copied to, and how many bytes of them stay.
      progress: Shows on stderr how far the run is.
      beam_flags: Further pipeline options, such as ("--runner=FlinkRunner",). A runner or running mode in them replaces
        the local runner.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    slides: tuple[str, ...]
    output: str
    keyspace: str = ""
    cluster: Cluster | None = None
    annotations: tuple[str, ...] = ()
    classes: ClassMap = DEFAULT_CLASSES
    annotation_frame: str = "auto"
    mpp_table: str | None = None
    tissue_masks: tuple[str, ...] = ()
    slide_table: str | None = None
    name_pattern: str = NAME_PATTERN
    tiling: TilingOptions = TilingOptions()
    encoding: str = "jpeg"
    quality: int = 90
    label_masks: bool = False
    metadata_table: str = "metadata_by_nat"
    data_table: str = "data_by_uuid"
    slides_table: str = "slides"
    write: WriteOptions = WriteOptions()
    workers: int = 2
    limit: int | None = None
    overwrite: bool = False
    dry_run: bool = False
    report: bool = True
    copies: CopyCache = CopyCache()
    progress: bool = True
    beam_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("slides", "annotations", "tissue_masks", "beam_flags"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise OptionError(f"{name}={value!r} is a text; pass a tuple of texts: ({value!r},)")
            object.__setattr__(self, name, tuple(str(item) for item in value))
        # Workers may have another working directory.
        object.__setattr__(self, "output", files.absolute(self.output))
        if not self.slides:
            raise OptionError("no slides given; pass --slides 'folder/*.svs'")
        if not self.dry_run and self.cluster is None:
            raise OptionError("no cluster given; pass --host ADDRESS, or --dry-run to plan without one")
        if not self.dry_run and not self.keyspace:
            raise OptionError("no keyspace given; pass --keyspace NAME")
        for name in ("workers", "limit"):
            value = getattr(self, name)
            if (value is not None or name == "workers") and (not isinstance(value, int) or value < 1):
                raise OptionError(f"{name}={value!r} is not a whole number of at least 1")
        check_encoding(self.encoding, self.quality)
        check_frame(self.annotation_frame)
        try:
            groups = re.compile(self.name_pattern).groupindex
        except re.error as error:
            raise OptionError(f"name_pattern={self.name_pattern!r} is not a regular expression: {error}") from None
        if set(groups) != {"patient_id", "slide_num"}:
            raise OptionError(
                f"name_pattern={self.name_pattern!r} has the groups {', '.join(groups) or 'none'}; "
                "it needs (?P<patient_id>...) and (?P<slide_num>...)"
            )

    @property
    def class_labels(self) -> Mapping[str, int]:
        """Class -> label, in painter's order."""
        return dict(self.classes.labels)

    @property
    def label_columns(self) -> Mapping[str, ColumnSpec]:
        """Columns of the metadata table that say what a patch shows of each class."""
        return {name: ColumnSpec(*spec) for name, spec in label_columns(self.classes).items()}

    @property
    def metadata_name(self) -> str:
        """ "keyspace.table" of the metadata."""
        return f"{self.keyspace}.{self.metadata_table}"

    @property
    def slides_name(self) -> str:
        """ "keyspace.table" of the slides."""
        return f"{self.keyspace}.{self.slides_table}"

    @property
    def data_name(self) -> str:
        """ "keyspace.table" of the patches' bytes."""
        return f"{self.keyspace}.{self.data_table}"
