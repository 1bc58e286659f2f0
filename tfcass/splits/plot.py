"""A picture of splits: how close each class is to its ratio, how large the groups are, how constraints are met."""

import os
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tfcass.errors import SplitError
from tfcass.splits.columns import encode_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfcass.splits.report import SplitReport
    from tfcass.splits.splits import Splits

_FEW = 24  # Classes, or values of a column, with a bar each.
_MOST_SPLITS = 12


def draw_splits(splits: "Splits", path: str | os.PathLike[str]) -> None:
    """Draws a PNG (or what the suffix says).

    Raises:
      SplitError: The file cannot be written.
      ModuleNotFoundError: matplotlib is absent.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    report = splits.report()
    columns = [*splits.recipe.cover, *splits.recipe.stratify]
    panels = 2 + len(columns)
    figure, axes = pyplot.subplots(panels, 1, figsize=(10, 3.4 * panels + 0.8), squeeze=False)
    axes = list(axes[:, 0])
    _draw_shares(axes[0], report, "class", {name: dict(counts.classes) for name, counts in report.splits.items()})
    _draw_groups(axes[1], splits)
    for panel, column in zip(axes[2:], columns, strict=True):
        _draw_shares(
            panel, report, column, {name: dict(counts.covers[column]) for name, counts in report.splits.items()}
        )
    rows = ", ".join(f"{name} {counts.rows:,}" for name, counts in list(report.splits.items())[:_MOST_SPLITS])
    leaks = f"{len(report.leaks)} groups in several splits" if report.group_by else "rows not grouped"
    figure.suptitle(f"{rows} rows of {report.input_rows:,}; {leaks}", fontsize=11)
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise SplitError(f"cannot draw into {path}: {error}; choose another file, with the suffix .png") from error
    finally:
        pyplot.close(figure)


def _draw_shares(axes: "Axes", report: "SplitReport", what: str, counts: dict[str, dict[str, int]]) -> None:
    """Of each value, the share in each split, against what was asked."""
    names = list(counts)[:_MOST_SPLITS]
    values = list(dict.fromkeys(value for of in counts.values() for value in of))
    table = np.array([[counts[name].get(value, 0) for value in values] for name in counts], np.float64)
    shares = table / np.maximum(1, table.sum(axis=0))
    total = sum(c.rows for c in report.splits.values())
    asked = {name: report.splits[name].rows / max(1, total) for name in names}
    if len(values) <= _FEW:
        width = 0.8 / len(names)
        for i, name in enumerate(names):
            places = np.arange(len(values)) + (i - (len(names) - 1) / 2) * width
            axes.bar(places, shares[i], width, color=f"C{i % 10}", label=f"{name} (asked {_asked(report, name)})")
            axes.hlines(
                [report.splits[name].target] * len(values), places - width / 2, places + width / 2, "black", lw=1
            )
            for place, share, count in zip(places, shares[i], table[i], strict=True):
                if len(values) * len(names) <= 30:
                    axes.annotate(f"{count:,.0f}", (place, share), ha="center", va="bottom", fontsize=7)
        axes.set_xticks(range(len(values)), values, rotation=0 if len(values) <= 10 else 60)
        axes.set_xlabel(what)
        axes.margins(y=0.12)
    else:
        order = np.argsort(-table.sum(axis=0), kind="stable")
        for i, name in enumerate(names):
            label = f"{name} (asked {_asked(report, name)})"
            axes.plot(shares[i][order], ".", markersize=3, color=f"C{i % 10}", label=label)
            axes.axhline(report.splits[name].target, color="black", lw=0.8)
        axes.set_xlabel(f"{what}: {len(values)}, from the most frequent to the rarest")
    axes.set_ylabel(f"share of the {what}\nin each split")
    axes.set_ylim(bottom=0)
    drawn = any(abs(asked[name] - report.splits[name].target) > 0.005 for name in names)
    note = "; the line is the share asked" + (" (before rows were left out)" if drawn else "")
    axes.set_title(f"{what} balance{note}", fontsize=10)
    _legend(axes)


def _draw_groups(axes: "Axes", splits: "Splits") -> None:
    """Rows of the groups of each split, largest first."""
    by = list(splits.recipe.group_by)
    if not by:
        axes.text(0.5, 0.5, "each row is a group of its own", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    names = splits.names[:_MOST_SPLITS]
    codes, count = encode_groups(pa.concat_tables([splits.columns(name, by) for name in names]), by)
    ends = np.cumsum([splits.rows(name) for name in names])[:-1]
    for i, (name, part) in enumerate(zip(names, np.split(codes, ends), strict=True)):
        sizes = np.bincount(part, minlength=count)
        sizes = np.sort(sizes[sizes > 0])[::-1]
        places = (np.arange(len(sizes)) + 0.5) / len(sizes)
        axes.plot(
            places,
            sizes,
            "o-" if len(sizes) <= 60 else "-",
            markersize=4,
            color=f"C{i % 10}",
            label=f"{name}: {len(sizes):,} groups, the largest with {sizes[0]:,} rows",
        )
    axes.set_yscale("log")
    axes.set_ylabel("rows of a group")
    axes.set_xlabel(f"groups ({', '.join(by)}) of each split, from the largest to the smallest")
    axes.set_title("group balance: alike curves mean alike groups", fontsize=10)
    _legend(axes)


def _asked(report: "SplitReport", name: str) -> str:
    return f"{report.splits[name].target:.1%}"


def _legend(axes: "Axes") -> None:
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.005, 1.0), borderaxespad=0.0)
