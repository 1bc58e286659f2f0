"""Flags of the tiling pipeline -> TilingRun."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.row_writer import WriteOptions
from beam_pipelines.slides.encode import ENCODINGS
from beam_pipelines.slides.tiles import TilingOptions
from beam_pipelines.tiling_run import NAME_PATTERN, TilingRun
from tfcass.cluster import Cluster, PasswordAuth, Tls
from tfcass.errors import OptionError


class TileSlidesOptions(PipelineOptions):
    """Flags of the tiling pipeline. None is `required`: a worker builds its options from those that were given."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        run, tiling = TilingRun, TilingOptions()
        add = parser.add_argument
        add(
            "--slides",
            action="append",
            metavar="PATTERN",
            help="slide files, as in 'dir/*.svs', or a folder; repeatable",
        )
        add("--annotations", action="append", metavar="PATTERN", help=".csv, .geojson or .json files; repeatable")
        add("--slide-table", metavar="CSV", help="columns slide, patient_id, slide_num; without it, file names tell")
        add(
            "--name-pattern",
            default=NAME_PATTERN,
            metavar="REGEX",
            help="groups patient_id and slide_num of a file name without suffix (default: %(default)s)",
        )
        add("--output", metavar="DIR", help="folder for masks, summary.json and dead_letters.jsonl")
        add("--keyspace", default="", help="keyspace of both tables; made when absent")
        add("--metadata-table", default=run.metadata_table, help="(default: %(default)s)")
        add("--data-table", default=run.data_table, help="one per encoding (default: %(default)s)")

        add_cluster_flags(parser)

        add("--mask-level", type=int, default=tiling.mask_level, help="level of the masks (default: %(default)s)")
        add(
            "--decision-level",
            type=int,
            default=tiling.decision_level,
            help="level with one pixel per patch (default: %(default)s)",
        )
        add("--patch-level", type=int, default=tiling.patch_level, help="level of the patches (default: %(default)s)")
        add("--patch-size", type=int, default=tiling.patch_size, help="side in pixels (default: %(default)s)")
        add(
            "--min-tissue",
            type=float,
            default=tiling.min_tissue,
            help="drop patches with a smaller fraction of tissue (default: %(default)s)",
        )
        add(
            "--min-annotated",
            type=float,
            default=tiling.min_annotated,
            help="drop patches with a smaller fraction of one class (default: %(default)s)",
        )
        add("--encoding", default=run.encoding, help=f"{', '.join(ENCODINGS)} (default: %(default)s)")
        add("--quality", type=int, default=run.quality, help="of JPEG, 1 to 100 (default: %(default)s)")

        add("--workers", type=int, default=run.workers, help="local processes (default: %(default)s)")
        add("--limit", type=int, metavar="N", help="the first N slides only")
        add("--overwrite", action="store_true", help="write stored patches again instead of skipping them")
        add("--dry-run", action="store_true", help="plan and draw masks; touch no database, read no patch")
        add("--no-progress", action="store_true", help="no progress on stderr")
        add("--json", action="store_true", help="print the summary as JSON instead of a table")
        add("--debug", action="store_true", help="show the log and tracebacks")


def add_cluster_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that `cluster_of` reads, and those of writes; all commands have them."""
    write = WriteOptions()
    add = parser.add_argument
    add("--host", action="append", metavar="ADDRESS", help="contact point of the cluster; repeatable")
    add("--port", type=int, default=9042, help="(default: %(default)s)")
    add("--local-dc", metavar="NAME", help="datacenter to write in (default: that of the first host)")
    add("--user", help="user name; needs --password-env or --password-file")
    add("--password-env", metavar="NAME", help="environment variable that holds the password")
    add("--password-file", metavar="PATH", help="file that holds the password")
    add("--tls", action="store_true", help="encrypt, trusting the system's authorities unless --tls-ca is given")
    add("--tls-ca", metavar="PEM", help="authority to trust; turns TLS on")
    add("--tls-cert", metavar="PEM", help="client certificate; turns TLS on")
    add("--tls-key", metavar="PEM", help="its key")
    add("--tls-no-hostname-check", action="store_true", help="accept a certificate for another host name")
    add("--consistency", default=write.consistency, help="acknowledgement of writes (default: %(default)s)")
    add("--max-in-flight", type=int, default=write.max_in_flight, help="rows, per worker (default: %(default)s)")


def parse_flags(arguments: Sequence[str], prog: str) -> tuple[TilingRun, argparse.Namespace]:
    """Turns a command line into a run, and the flags that concern only the command itself.

    Flags that other PipelineOptions declare (--runner and the rest) go to Beam. --help prints and exits 0.

    Raises:
      OptionError: Unknown flags, or values that do not fit.
    """
    parser = _Parser(
        prog=prog, allow_abbrev=False, description="Cuts whole slides into patches and writes them to Cassandra."
    )
    TileSlidesOptions._add_argparse_args(parser)
    parser.epilog = "Any other Beam pipeline option may follow, such as --runner."
    flags, rest = parser.parse_known_args(arguments)
    _refuse_unknown(rest)
    if flags.output is None:
        raise OptionError("no output folder given; pass --output DIR")
    run = TilingRun(
        slides=tuple(flags.slides or ()),
        output=flags.output,
        keyspace=flags.keyspace,
        cluster=cluster_of(flags),
        annotations=tuple(flags.annotations or ()),
        slide_table=flags.slide_table,
        name_pattern=flags.name_pattern,
        tiling=TilingOptions(
            mask_level=flags.mask_level,
            decision_level=flags.decision_level,
            patch_level=flags.patch_level,
            patch_size=flags.patch_size,
            min_tissue=flags.min_tissue,
            min_annotated=flags.min_annotated,
        ),
        encoding=flags.encoding,
        quality=flags.quality,
        metadata_table=flags.metadata_table,
        data_table=flags.data_table,
        write=WriteOptions(consistency=flags.consistency, max_in_flight=flags.max_in_flight),
        workers=flags.workers,
        limit=flags.limit,
        overwrite=flags.overwrite,
        dry_run=flags.dry_run,
        progress=not flags.no_progress,
        beam_flags=tuple(rest),
    )
    return run, flags


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaints as our errors: one line, like any other wrong setting."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; see --help")


def _refuse_unknown(flags: Sequence[str]) -> None:
    """Beam drops what it does not know with a warning; a misspelt flag deserves better."""
    beam = _Parser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        if options is not TileSlidesOptions:
            options._add_argparse_args(beam)
    _, unknown = beam.parse_known_args(list(flags))
    if unknown:
        raise OptionError(f"unknown flag {unknown[0]!r}; see --help")


def cluster_of(flags: argparse.Namespace) -> Cluster | None:
    """The cluster that the flags of `add_cluster_flags` name, or None when they name no host.

    Raises:
      OptionError: Flags that do not go together.
    """
    if not flags.host:
        return None
    auth = None
    if flags.user is not None:
        auth = PasswordAuth(flags.user, password_env=flags.password_env, password_file=flags.password_file)
    elif flags.password_env is not None or flags.password_file is not None:
        raise OptionError("a password without --user; pass --user NAME")
    tls = None
    if flags.tls or flags.tls_ca or flags.tls_cert or flags.tls_key:
        tls = Tls(flags.tls_ca, flags.tls_cert, flags.tls_key, verify_hostname=not flags.tls_no_hostname_check)
    hosts = [host for value in flags.host for host in value.split(",") if host]
    return Cluster(hosts, port=flags.port, local_dc=flags.local_dc, auth=auth, tls=tls)
