"""Gives stored patches new labels by another rule, from the columns that tiling kept: no pixel and no slide is read.

    python -m beam_pipelines.relabel --keyspace wsi --host 10.0.0.1 --rule 'inner>0' --to metadata_inner \\
        --output out/inner

The label is part of the metadata table's key, and saved splits were made of it. So the rows go, with their new labels,
into a metadata table of their own, and the old one stays what it was: models trained on it can be trained again. Rows
that get no label by the new rule are left out. To try a rule without a table, see `relabelled` in slides/labels.py.

Training that takes its labels from the data table sees those of the tiling: either take them from the splits' table, or
give --data-labels, which overwrites the column `label` there (a few bytes a row) for all who read it.

Rules: 'share>=0.5' (the tiling's own), 'any>0' (tumour if there is any), 'inner>0' (any in the inner square, as in
PatchCamelyon), 'centre'. A patch that was never stored cannot come back: tile with a low --min-annotated to keep the
choice open.

Exit: 0 complete, 1 failed, 2 wrong usage, 3 partial (rows that failed are listed), 130 interrupted.
"""

import argparse
import collections
import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beam_pipelines import command, files
from beam_pipelines.row_writer import WriteOptions
from beam_pipelines.slides.classes import DEFAULT_CLASSES, ClassMap
from beam_pipelines.slides.labels import NO_LABEL, LabelRule, PatchLabels, label_columns
from tfcass.cluster import Cluster
from tfcass.errors import OptionError

PROG = "python -m beam_pipelines.relabel"
_BATCH = 500  # Rows of one decision: arrays pay from some dozens on.


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelabelRun:
    """What to relabel.

    Attributes:
      keyspace, cluster: Where the tables are.
      rule: What decides.
      to: Name of the new metadata table; made when absent.
      output: Folder for summary.json and dead_letters.jsonl.
      metadata_table: The present one.
      data_labels: A data table whose column `label` is overwritten, too; None leaves it.
      classes: The class map that the slides were tiled with.
      write: Bounds and retries of the writes.
      workers, beam_flags: As in TilingRun.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    keyspace: str
    cluster: Cluster
    rule: LabelRule
    to: str
    output: str
    metadata_table: str = "metadata_by_nat"
    data_labels: str | None = None
    classes: ClassMap = DEFAULT_CLASSES
    write: WriteOptions = WriteOptions()
    workers: int = 2
    beam_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.cluster is None:
            raise OptionError("no cluster given; pass --host ADDRESS")
        if not self.keyspace:
            raise OptionError("no keyspace given; pass --keyspace NAME")
        if self.to == self.metadata_table:
            raise OptionError(
                f"to={self.to!r} is the present table: the label is part of its key, and saved splits are made of it; "
                "give another name"
            )
        object.__setattr__(self, "output", files.absolute(self.output))

    @property
    def source(self) -> str:
        """ "keyspace.table" of the present metadata."""
        return f"{self.keyspace}.{self.metadata_table}"

    @property
    def target(self) -> str:
        """ "keyspace.table" of the new one."""
        return f"{self.keyspace}.{self.to}"


def run(options: RelabelRun, *, debug: bool = False) -> dict[str, Any]:
    """Relabels; returns the content of summary.json once all rows are written.

    Raises:
      tfcass.OptionError: The rows lack the columns that the rule needs.
      tfcass.ClusterError, tfcass.SchemaError: The cluster cannot be reached, or its tables do not fit.
      beam_pipelines.slides.errors.OutputError: The output folder cannot be written.
      beam_pipelines.local_runner.PipelineError: The pipeline failed as a whole; run it again.
    """
    from beam_pipelines.row_tables import make_table_like
    from tfcass.schema import describe_table

    table = describe_table(options.cluster, options.source)
    if missing := [name for name in label_columns(options.classes) if name not in table.columns]:
        raise OptionError(
            f"{options.source} has no {', '.join(missing)}: its slides were tiled before these columns were kept, or "
            "with another class map; tile them again (stored patches are skipped, their columns are filled in)"
        )
    command.make_output(options.output)
    comment = f"tfcass: rows of {options.source} labelled by {options.rule}"
    make_table_like(options.cluster, options.source, options.to, comment)
    records = command.run_job(
        lambda pipeline: _build(pipeline, options, tuple(table.columns)),
        options.output,
        workers=options.workers,
        flags=options.beam_flags,
        debug=debug,
    ).records
    counts: collections.Counter[str] = collections.Counter()
    dead = []
    for kind, content in records:
        if kind == "count":
            counts[content[0]] += content[1]
        else:
            dead.append(content)
    summary = _summary(options, counts, dead)
    command.write_summary(options.output, summary, dead)
    return summary


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    from beam_pipelines.command_flags import FlagParser
    from beam_pipelines.options import add_cluster_flags

    flags = FlagParser(prog=PROG, allow_abbrev=False, description="Gives stored patches new labels by another rule.")
    add = flags.add_argument
    add("--keyspace", default="", help="keyspace of the tables")
    add("--metadata-table", default=RelabelRun.metadata_table, help="the present one (default: %(default)s)")
    add("--to", metavar="TABLE", help="the new metadata table; made when absent")
    add("--rule", help="'share>=0.5', 'any>0', 'inner>0' or 'centre'")
    add("--data-labels", metavar="TABLE", help="also overwrite the column label of this data table")
    command.add_class_flags(flags, frame=False)
    add_cluster_flags(flags)
    command.add_run_flags(flags, RelabelRun.workers)
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return command.run_command(
        _command, arguments, again="run it again: rows that are there are written again, in place"
    )


def _command(arguments: Sequence[str], *, debug: bool) -> int:
    from beam_pipelines.command_flags import cluster_of

    flags, rest = command.parse(parser(), arguments, ("--output", "--to", "--rule"))
    options = RelabelRun(
        keyspace=flags.keyspace,
        cluster=cluster_of(flags),
        rule=LabelRule.parse(flags.rule),
        to=flags.to,
        output=flags.output,
        metadata_table=flags.metadata_table,
        data_labels=flags.data_labels,
        classes=command.classes_of(flags),
        write=WriteOptions(consistency=flags.consistency, max_in_flight=flags.max_in_flight),
        workers=flags.workers,
        beam_flags=rest,
    )
    summary = run(options, debug=debug)
    if flags.json:
        print(json.dumps(summary, indent=2))
    else:
        labels = ", ".join(f"{count:,} {name}" for name, count in summary["labels"].items())
        print(
            f"{summary['rows']:,} rows of {options.source} by {options.rule}: {labels}; {summary['changed']:,} changed"
        )
        print(f"{summary['written']:,} written to {options.target}")
        command.print_remarks("not complete", summary["complaints"])
    return 0 if summary["complete"] else 3


def _summary(options: RelabelRun, counts: Mapping[str, int], dead: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = {label: name for name, label in options.classes.labels}
    labels = {names[label]: counts[f"label {label}"] for label in sorted(names)}
    labels["without a label"] = counts[f"label {NO_LABEL}"]
    rows, expected = sum(labels.values()), sum(labels.values()) - counts[f"label {NO_LABEL}"]
    complaints = [f"{len(dead):,} rows failed; see {command.DEAD_LETTERS_FILE}"] if dead else []
    if not rows:
        complaints.append(f"{options.source} has no rows")
    if not dead and counts["written"] != expected:
        complaints.append(f"{counts['written']:,} of {expected:,} rows are written; run it again")
    return {
        "complete": not complaints,
        "rule": str(options.rule),
        "from": options.source,
        "to": options.target,
        "rows": rows,
        "labels": labels,
        "changed": counts["changed"],
        "written": counts["written"],
        "data_labels_written": counts["data labels written"],
        "failed": len(dead),
        "complaints": complaints,
    }


def _build(pipeline: Any, options: RelabelRun, columns: tuple[str, ...]) -> list[Any]:
    import apache_beam as beam

    from beam_pipelines.cassandraio import ReadFromCassandra, WriteToCassandra

    settings = {**dataclasses.asdict(options.write), "cluster": options.cluster}
    decided = (
        pipeline
        | ReadFromCassandra(options.source, cluster=options.cluster, columns=columns)
        | "Batch" >> beam.BatchElements(min_batch_size=_BATCH, max_batch_size=_BATCH)
        | "Decide" >> beam.FlatMap(_decide, rule=options.rule, classes=options.classes)
    )
    labelled = decided | "Labelled" >> beam.Filter(lambda pair: pair[0]["label"] != NO_LABEL)
    rows = labelled | "Row" >> beam.Map(lambda pair: pair[0])
    metadata = rows | "Write metadata" >> WriteToCassandra(options.target, columns=columns, **settings)
    written, dead = [metadata.written | "Written" >> beam.Map(lambda _: "written")], [metadata.dead]
    if options.data_labels is not None:
        data = rows | "Write data labels" >> WriteToCassandra(
            f"{options.keyspace}.{options.data_labels}", columns=("patch_id", "label"), **settings
        )
        written.append(data.written | "Data labels written" >> beam.Map(lambda _: "data labels written"))
        dead.append(data.dead)
    counts = (
        [*written, decided | "Outcome" >> beam.FlatMap(_outcome)]
        | "All outcomes" >> beam.Flatten()
        | "Count" >> beam.combiners.Count.PerElement()
        | "Counted" >> beam.Map(lambda counted: ("count", counted))
    )
    return [counts, dead | "All dead" >> beam.Flatten() | "Dead" >> beam.Map(_dead)]


def _decide(rows: list[dict[str, Any]], rule: LabelRule, classes: ClassMap) -> Iterable[tuple[dict[str, Any], int]]:
    """(row with its new label, the old label)."""
    columns = {name: [row[name] for row in rows] for name in label_columns(classes)}
    labels = rule.decide(PatchLabels.from_columns(columns, classes), classes)
    for row, label in zip(rows, labels.tolist(), strict=True):
        yield {**row, "label": label}, row["label"]


def _outcome(pair: tuple[dict[str, Any], int]) -> Iterable[str]:
    row, before = pair
    yield f"label {row['label']}"
    if row["label"] not in (before, NO_LABEL):
        yield "changed"


def _dead(letter: Any) -> tuple[str, dict[str, Any]]:
    return "dead", {**letter.row, "stage": letter.stage, "error": letter.error, "attempts": letter.attempts}


if __name__ == "__main__":
    # By its real name, so that workers find what is pickled under it.
    from beam_pipelines.relabel import main as entry

    sys.exit(entry())
