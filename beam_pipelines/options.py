"""Flags of the tiling pipeline -> TilingRun. Imports no Beam: a run with nothing to do should end at once."""

import argparse
from collections.abc import Sequence

from beam_pipelines import command_flags
from beam_pipelines.command_flags import FlagParser, cluster_of, refuse_unknown
from beam_pipelines.local_copies import CopyCache
from beam_pipelines.presets import add_preset_flag
from beam_pipelines.row_writer import WriteOptions
from beam_pipelines.slides.classes import CLASS_MAPS, ClassMap
from beam_pipelines.slides.encode import ENCODINGS
from beam_pipelines.slides.grid import AREAS, EDGES
from beam_pipelines.slides.quality import QualityOptions
from beam_pipelines.slides.tiles import TilingOptions
from beam_pipelines.slides.tissue import TissueOptions
from beam_pipelines.tiling_run import NAME_PATTERN, TilingRun
from tfcass.errors import OptionError

__all__ = ["add_cluster_flags", "cluster_of", "parse_flags", "parser"]

_DEFAULT = "(default: %(default)s)"
_GIB = 2**30


def _add_input(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--slides",
        action="append",
        metavar="PATTERN",
        help="slide files, as in 'dir/*.svs' or 'gs://bucket/*.svs', or a folder; repeatable",
    )
    add("--annotations", action="append", metavar="PATTERN", help=".csv, .geojson, .json or .xml files; repeatable")
    add(
        "--class-map",
        default="prostate",
        metavar="NAME|JSON",
        help=f"what labels in annotations mean: {', '.join(CLASS_MAPS)}, or a file {_DEFAULT}",
    )
    add(
        "--annotation-frame",
        default=TilingRun.annotation_frame,
        help=f"what coordinates count from: level0, bounds, or auto: as each program writes it {_DEFAULT}",
    )
    add("--slide-table", metavar="CSV", help="columns slide, patient_id, slide_num; without it, file names tell")
    add(
        "--name-pattern",
        default=NAME_PATTERN,
        metavar="REGEX",
        help=f"groups patient_id and slide_num of a file name without suffix {_DEFAULT}",
    )
    add("--mpp-table", metavar="CSV", help="columns slide, mpp[, mpp_y]: instead of what slides say of themselves")
    add("--limit", type=int, metavar="N", help="the first N slides only")


def _add_output(parser: argparse.ArgumentParser) -> None:
    run = TilingRun
    add = parser.add_argument
    add("--output", metavar="DIR", help="folder or URL for masks, ledger, summary.json, report.html and dead letters")
    add("--keyspace", default="", help="keyspace of the tables; made when absent")
    add("--metadata-table", default=run.metadata_table, help=_DEFAULT)
    add("--data-table", default=run.data_table, help=f"one per encoding {_DEFAULT}")
    add("--slides-table", default=run.slides_table, help=_DEFAULT)
    add_cluster_flags(parser)
    add("--encoding", default=run.encoding, help=f"{', '.join(ENCODINGS)} {_DEFAULT}")
    add("--quality", type=int, default=run.quality, help=f"of JPEG, 1 to 100 {_DEFAULT}")
    add("--label-masks", action="store_true", help="for segmentation: a PNG mask as each patch's label")
    add("--overwrite", action="store_true", help="write stored patches again instead of skipping them")
    add("--no-report", action="store_true", help="write no report.html")


def _add_patches(parser: argparse.ArgumentParser) -> None:
    tiling = TilingOptions()
    add = parser.add_argument
    add("--mask-level", type=int, default=tiling.mask_level, help=f"level of the masks {_DEFAULT}")
    add("--decision-level", type=int, help="level with one pixel per patch: a check (default: what a patch covers)")
    add("--patch-level", type=int, default=tiling.patch_level, help=f"level of the patches {_DEFAULT}")
    add("--mpp", type=float, metavar="UM", help="micrometres per pixel of the patches, instead of --patch-level")
    add("--mpp-tolerance", type=float, default=tiling.mpp_tolerance, help=f"to take a level as it is {_DEFAULT}")
    add("--patch-size", type=int, default=tiling.patch_size, metavar="PX", help=f"side of a patch {_DEFAULT}")
    add("--stride", type=int, metavar="PX", help="from one patch to the next (default: the patch size)")
    add("--overlap", type=int, metavar="PX", help="of neighbours, instead of --stride")
    add("--edge", default=tiling.edge, help=f"at the slide's end: {', '.join(EDGES)} {_DEFAULT}")
    add("--area", default=tiling.area, help=f"where the grid begins and ends: {', '.join(AREAS)} {_DEFAULT}")
    add(
        "--min-annotated",
        type=float,
        default=tiling.min_annotated,
        help=f"drop patches with a smaller fraction of one class {_DEFAULT}",
    )


def _add_tissue(parser: argparse.ArgumentParser) -> None:
    tissue = TissueOptions()
    add = parser.add_argument
    add(
        "--min-tissue",
        type=float,
        default=TilingOptions().min_tissue,
        help=f"drop patches with a smaller fraction of tissue {_DEFAULT}",
    )
    add(
        "--tissue-masks",
        action="append",
        metavar="PATTERN",
        help="<slide>.png or <slide>_tissue.png, instead of finding tissue; repeatable",
    )
    for name, what in (
        ("min_saturation", "the threshold lies above"),
        ("max_saturation", "the threshold lies below"),
        ("closing_um", "close gaps narrower than this"),
        ("min_hole_um2", "fill smaller holes"),
        ("min_area_um2", "drop smaller pieces of tissue"),
    ):
        add(f"--{name.replace('_', '-')}", type=float, default=getattr(tissue, name), help=f"{what} {_DEFAULT}")
    for name, what in (
        ("min_sharpness", "drop blurred patches: variance of the Laplacian at 0.5 um"),
        ("max_pen", "drop patches with a larger fraction of pen marks"),
        ("max_white", "drop patches with a larger fraction of white"),
        ("max_black", "drop patches with a larger fraction of black"),
    ):
        add(f"--{name.replace('_', '-')}", type=float, help=f"{what} (default: keep all, and store the metric)")


def _add_running(parser: argparse.ArgumentParser) -> None:
    run, cache = TilingRun, CopyCache()
    add = parser.add_argument
    add_preset_flag(parser)
    add("--workers", type=int, default=run.workers, help=f"local processes {_DEFAULT}")
    add("--slide-cache", default=cache.folder, metavar="DIR", help=f"for copies of remote slides {_DEFAULT}")
    add("--slide-cache-gb", type=float, default=cache.limit_bytes / _GIB, help=f"GiB of them at most {_DEFAULT}")
    add("--job-graph", metavar="JSON", help="build the pipeline for the runner's options, write it, and run nothing")
    add("--dry-run", action="store_true", help="plan and draw masks; touch no database, read no patch")
    add("--no-progress", action="store_true", help="no progress on stderr")
    add("--json", action="store_true", help="print the summary as JSON instead of a table")
    add("--debug", action="store_true", help="show the log and tracebacks")


def add_cluster_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that `cluster_of` reads, and those of writes."""
    write = WriteOptions()
    command_flags.add_cluster_flags(parser)
    parser.add_argument("--consistency", default=write.consistency, help=f"acknowledgement of writes {_DEFAULT}")
    parser.add_argument(
        "--max-in-flight", type=int, default=write.max_in_flight, help=f"rows on the way, per worker {_DEFAULT}"
    )


def parser(prog: str = "python -m beam_pipelines.tile_slides") -> argparse.ArgumentParser:
    """The command's own flags."""
    made = FlagParser(
        prog=prog, allow_abbrev=False, description="Cuts whole slides into patches and writes them to Cassandra."
    )
    for add in (_add_input, _add_output, _add_patches, _add_tissue, _add_running):
        add(made)
    made.epilog = "Any other Beam pipeline option may follow, such as --runner."
    return made


def parse_flags(arguments: Sequence[str], prog: str) -> tuple[TilingRun, argparse.Namespace]:
    """Turns a command line into a run, and the flags that concern only the command itself.

    Flags that other PipelineOptions declare (--runner and the rest) go to Beam. --help prints and exits 0.

    Raises:
      OptionError: Unknown flags, or values that do not fit.
      AnnotationError: The class map cannot be used.
    """
    own = parser(prog)
    flags, rest = own.parse_known_args(arguments)
    refuse_unknown(rest)
    if flags.output is None:
        raise OptionError("no output folder given; pass --output DIR")
    run = TilingRun(
        slides=tuple(flags.slides or ()),
        output=flags.output,
        keyspace=flags.keyspace,
        cluster=cluster_of(flags),
        annotations=tuple(flags.annotations or ()),
        classes=_classes(flags.class_map),
        annotation_frame=flags.annotation_frame,
        mpp_table=flags.mpp_table,
        tissue_masks=tuple(flags.tissue_masks or ()),
        slide_table=flags.slide_table,
        name_pattern=flags.name_pattern,
        tiling=_tiling(flags),
        encoding=flags.encoding,
        quality=flags.quality,
        label_masks=flags.label_masks,
        metadata_table=flags.metadata_table,
        data_table=flags.data_table,
        slides_table=flags.slides_table,
        write=WriteOptions(consistency=flags.consistency, max_in_flight=flags.max_in_flight),
        workers=flags.workers,
        limit=flags.limit,
        overwrite=flags.overwrite,
        dry_run=flags.dry_run,
        report=not flags.no_report,
        copies=CopyCache(flags.slide_cache, round(flags.slide_cache_gb * _GIB)),
        progress=not flags.no_progress,
        beam_flags=tuple(rest),
    )
    return run, flags


def _tiling(flags: argparse.Namespace) -> TilingOptions:
    names = ("mask_level", "decision_level", "patch_level", "patch_size", "mpp", "edge", "area", "mpp_tolerance")
    names += ("min_tissue", "min_annotated")
    return TilingOptions(
        **{name: getattr(flags, name) for name in names},
        stride=_stride(flags),
        tissue=TissueOptions(
            **{
                name: getattr(flags, name)
                for name in ("min_saturation", "max_saturation", "closing_um", "min_hole_um2", "min_area_um2")
            }
        ),
        quality=QualityOptions(
            **{name: getattr(flags, name) for name in ("min_sharpness", "max_pen", "max_white", "max_black")}
        ),
    )


def _stride(flags: argparse.Namespace) -> int | None:
    if flags.overlap is None:
        return flags.stride
    if flags.stride is not None:
        raise OptionError(f"--overlap {flags.overlap} and --stride {flags.stride} were both given; leave one out")
    if not 0 <= flags.overlap < flags.patch_size:
        raise OptionError(f"--overlap {flags.overlap} is not in [0, {flags.patch_size}), the size of a patch")
    return flags.patch_size - flags.overlap


def _classes(name: str) -> ClassMap:
    return ClassMap.load(name) if name.endswith(".json") else ClassMap.named(name)
