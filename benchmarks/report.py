"""Results as people read them: the table, and by `python -m benchmarks.report` the picture and docs/performance.md."""

import re
import statistics
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import OUT, BenchmarkError, Result
from tfcass._files import replace_file

_DOCS = Path(__file__).resolve().parent.parent / "docs"
_BEGIN = "<!-- numbers: begin (written by `make bench-plot`) -->"
_END = "<!-- numbers: end -->"


def table(results: Sequence[Result]) -> str:
    """One line per result, for a terminal."""
    rows = [("name", "ratio", "min to max", "goal", "reached")]
    for result in results:
        rows.append((result.name, f"{result.ratio:.2f}", _range(result), str(result.goal), _verdict(result)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def load_all(folder: Path = OUT) -> list[Result]:
    """The saved results, in the order of the registry; those that it does not know come last.

    Raises:
      BenchmarkError: There are none, or a file is something else.
    """
    from benchmarks.registry import BENCHMARKS

    names = [benchmark.name for benchmark in BENCHMARKS]
    results = [Result.load(path) for path in sorted(folder.glob("*.json"))]
    if not results:
        raise BenchmarkError(f"no result in {folder}; run `make bench` first")

    def place(result: Result) -> int:  # grouped_one_cpu goes with grouped_one.
        return next((i for i, name in enumerate(names) if result.name.startswith(name)), len(names))

    return sorted(results, key=place)


def plot(results: Sequence[Result], path: Path) -> None:
    """Draws each ratio with its range, and a mark at its goal."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(figsize=(9, 0.45 * len(results) + 2.0))
    for place, result in enumerate(results):
        colour = "tab:green" if result.reached else "tab:red"
        below, above = result.ratio - result.min, result.max - result.ratio
        axes.barh(place, result.ratio, color=colour, alpha=0.75, height=0.6)
        axes.errorbar(result.ratio, place, xerr=[[below], [above]], color="black", capsize=3, linewidth=1)
        axes.plot([result.goal.bound] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2.5)
        better = "more" if result.goal.at_least else "less"
        axes.annotate(
            f"{result.ratio:.2f}   (goal {result.goal}, {better} is better)",
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(results)), [result.name for result in results])
    axes.invert_yaxis()
    axes.set_xscale("log")
    low = min(min(result.min, result.goal.bound) for result in results)
    high = max(max(result.max, result.goal.bound) for result in results)
    axes.set_xlim(low / 1.5, high * 1.5)
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    axes.axvline(1, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel("ratio: median of the rounds, with the smallest and the largest; the bold mark is the goal")
    figure.suptitle("tfcass : what it is compared with", fontsize=11)
    words = f"Client and servers share one machine: {_machine_words(results)}"
    figure.text(0.01, 0.01, textwrap.fill(words, 150), fontsize=7)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def numbers(results: Sequence[Result]) -> str:
    """The part of docs/performance.md that is numbers, as Markdown."""
    lines = []
    if any(result.quick for result in results):
        lines += ["**From a quick run, which shows that all runs and nothing more.**", ""]
    lines += [
        "| name | ratio | min to max | goal | reached | ours | against | unit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        ours, against = (_middle(result, side) for side in ("ours", "against"))
        lines.append(
            f"| {result.name} | **{result.ratio:.2f}** | {_range(result)} | {result.goal} | {_verdict(result)} "
            f"| {ours} | {against} | {result.unit} |"
        )
    lines += ["", f"Machine: {_machine_words(results)}.", ""]
    for result in results:
        lines.append(f"**{result.name}**: {result.ours} : {result.against}. {len(result.samples)} rounds.")
        words = {**result.conditions, **result.detail}
        told = [f"{name}: {_cell(value)}" for name, value in words.items() if name not in ("machine", "software")]
        lines += [*(f"- {text}" for text in told), ""]
    return "\n".join(lines).rstrip() + "\n"


def update(document: Path, content: str) -> None:
    """Replaces what stands between the marks in `document`.

    Raises:
      BenchmarkError: The marks are not there.
    """
    text = document.read_text()
    pattern = re.compile(re.escape(_BEGIN) + ".*?" + re.escape(_END), re.DOTALL)
    if not pattern.search(text):
        raise BenchmarkError(f"{document} has no lines {_BEGIN!r} and {_END!r}, between which the numbers go")
    replace_file(document, pattern.sub(lambda _: f"{_BEGIN}\n{content}{_END}", text).encode())


def main() -> int:
    try:
        results = load_all()
        plot(results, _DOCS / "performance.png")
        update(_DOCS / "performance.md", numbers(results))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(results))
    print(f"drawn into {_DOCS / 'performance.png'}, told in {_DOCS / 'performance.md'}")
    return 0


def _range(result: Result) -> str:
    return f"{result.min:.2f} to {result.max:.2f}"


def _verdict(result: Result) -> str:
    return "yes" if result.reached else "no"


def _middle(result: Result, side: str) -> str:
    value = statistics.median(getattr(sample, side) for sample in result.samples)
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,}"
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    return str(value)


def _machine_words(results: Sequence[Result]) -> str:
    """Machine and software; several if the results are of several."""
    words = dict.fromkeys(f"{r.conditions.get('machine', '?')}; {r.conditions.get('software', '?')}" for r in results)
    return " / ".join(words)


if __name__ == "__main__":
    sys.exit(main())
