"""A Summary on a terminal. report_page.py shows it in pictures."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from beam_pipelines.summary import SlideOutcome, Summary

_LISTED = 20  # Of each kind of remark; the rest is in summary.json.


def print_summary(summary: Summary, output: str, console: Console) -> None:
    """Prints a table of slides with a column for each reason to reject a patch, totals, and what went wrong."""
    console.print(_table(summary))
    _remarks(
        console, "Annotations used after repair", [text for text, repaired in summary.annotation_problems if repaired]
    )
    _remarks(console, "No slide was found for", list(summary.absent_slides))
    _remarks(console, "Notes", [f"{slide.slide}: {note}" for slide in summary.slides for note in _notes(slide)])
    _remarks(console, "Not complete", summary.complaints())
    for line in _totals(summary):
        console.print(line, highlight=False, soft_wrap=True)
    page = "" if summary.dry_run else " and report.html"
    console.print(f"Details in {escape(output)}/summary.json{page}", highlight=False, soft_wrap=True)


def _table(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("slide", overflow="fold", min_width=12)
    table.add_column("outcome", overflow="fold", min_width=8)
    names = ("planned",) if summary.dry_run else ("planned", "written", "skipped", "dropped", "failed", "stored")
    # On a narrow terminal every column counts; nothing is said by one that is all zeros.
    names = tuple(name for name in names if name in ("planned", "written", "stored") or summary.total(name))
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    left_out = [{**slide.rejected, **slide.low_quality} for slide in summary.slides]
    reasons = sorted({reason for found in left_out for reason, count in found.items() if count})
    for reason in reasons:
        table.add_column(reason.replace(" ", "\n"), justify="right", overflow="fold", style="dim")
    for slide, found in zip(summary.slides, left_out, strict=True):
        counts = [getattr(slide, name) or 0 for name in names] + [found.get(reason, 0) for reason in reasons]
        table.add_row(escape(slide.slide), slide.status, *(f"{count:,}" for count in counts))
    return table


def _notes(slide: SlideOutcome) -> list[str]:
    stale = (
        [f"{slide.stale:,} stored patches are not in this plan (other annotations or settings)"] if slide.stale else []
    )
    return [*slide.notes, *stale]


def _totals(summary: Summary) -> list[str]:
    statuses = ", ".join(f"{count} {status}" for status, count in summary.by_status().items() if count)
    lines = [f"{len(summary.slides)} slides: {statuses}"]
    if summary.dry_run:
        lines.append(f"{summary.total('planned'):,} patches planned; dry run, nothing was written but masks")
        return lines
    planned, written, skipped, dropped, failed, stored = (
        summary.total(name) for name in ("planned", "written", "skipped", "dropped", "failed", "stored")
    )
    seconds = summary.seconds.get("tile", 0.0)
    rate = f" in {seconds:.1f} s ({written / seconds:,.0f} a second)" if written and seconds else ""
    lines.append(
        f"{planned:,} patches planned = {written:,} written{rate} + {skipped:,} stored before + {dropped:,} rejected "
        f"for their pixels + {failed:,} failed; "
        f"{stored:,} rows in the database"
    )
    return lines


def _remarks(console: Console, title: str, texts: list[str]) -> None:
    if not texts:
        return
    console.print(f"{title}:", highlight=False)
    for text in texts[:_LISTED]:
        console.print(f"  {escape(text)}", highlight=False, soft_wrap=True)
    if len(texts) > _LISTED:
        console.print(f"  and {len(texts) - _LISTED} more", highlight=False)
