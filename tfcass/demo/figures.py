"""Plots of the report: training curves, confusion matrix, colour bar, as SVG text: sharp on screen and on paper."""

import io
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen first: no display is needed)
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.colors import LinearSegmentedColormap  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import MaxNLocator, PercentFormatter  # noqa: E402

from beam_pipelines.drawing.palette import (  # noqa: E402
    BASELINE,
    CLASS_TITLES,
    INK,
    LINE,
    MUTED,
    PROBABILITY_COLOURS,
    TRAIN,
    VALIDATION,
)
from tfcass.demo.contents import Confusion, History  # noqa: E402

_STYLE = {
    "font.family": "DejaVu Sans",  # Ships with matplotlib; text becomes paths, so the reader needs no font.
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "tfcass",  # The same input gives the same file.
}
_BLUES = LinearSegmentedColormap.from_list("counts", ["#f4f8fb", "#9cc7e4", "#0072B2"])
_PROBABILITY = LinearSegmentedColormap.from_list("probability", list(PROBABILITY_COLOURS))


def loss_curves(history: History) -> str:
    """Loss by epoch, training against validation."""
    with plt.rc_context(_STYLE):
        figure, axes = _curves(history.loss, history.val_loss, "Loss")
        axes.set_ylim(bottom=0)
        return _svg(figure)


def accuracy_curves(history: History) -> str:
    """Accuracy by epoch, training against validation, with the majority class as the line to beat."""
    with plt.rc_context(_STYLE):
        figure, axes = _curves(history.accuracy, history.val_accuracy, "Accuracy", baseline=history.majority)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        lowest = min([*history.accuracy, *history.val_accuracy, history.majority])
        axes.set_ylim(max(0.0, lowest - 0.08), 1.01)
        return _svg(figure)


def _curves(
    train: Sequence[float], validation: Sequence[float], title: str, baseline: float | None = None
) -> tuple[Figure, Axes]:
    epochs = range(1, len(train) + 1)
    figure, axes = plt.subplots(figsize=(5.4, 4.0), layout="constrained")
    look = {"linewidth": 2.2, "marker": "o", "markersize": 4.5}
    axes.plot(epochs, train, color=TRAIN, label="training", **look)
    axes.plot(epochs, validation, color=VALIDATION, label="validation", **look)
    if baseline is not None:
        axes.axhline(baseline, color=BASELINE, linewidth=1.6, linestyle=(0, (4, 3)), label="majority class")
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="x", visible=False)
    # Below the plot: inside, a legend sooner or later lies on a curve.
    figure.legend(loc="outside lower center", ncols=3, handlelength=2.4, columnspacing=2)
    return figure, axes


def confusion_matrix(confusion: Confusion) -> str:
    """Truth against prediction: counts and share of each true class, coloured by that share."""
    counts = confusion.counts
    totals = counts.sum(axis=1, keepdims=True)
    share = counts / totals.clip(min=1)
    with plt.rc_context({**_STYLE, "axes.grid": False}):
        figure, axes = plt.subplots(figsize=(4.5, 4.0), layout="constrained")
        axes.imshow(share, cmap=_BLUES, vmin=0, vmax=1)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for row in range(len(counts)):
            for column in range(len(counts)):
                colour = "white" if share[row, column] > 0.55 else INK
                axes.text(
                    column,
                    row - 0.06,
                    f"{counts[row, column]:,}",
                    ha="center",
                    va="center",
                    color=colour,
                    fontsize=17,
                    fontweight="bold",
                )
                axes.text(
                    column, row + 0.18, f"{share[row, column]:.1%}", ha="center", va="center", color=colour, fontsize=10
                )
        ticks = range(len(counts))
        axes.set_xticks(ticks, [CLASS_TITLES[i] for i in ticks])
        axes.set_yticks(ticks, [f"{CLASS_TITLES[i]}\n{int(totals[i, 0]):,}" for i in ticks])
        axes.tick_params(labelcolor=INK)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_xticks([i + 0.5 for i in ticks][:-1], minor=True)
        axes.set_yticks([i + 0.5 for i in ticks][:-1], minor=True)
        axes.grid(which="minor", color="white", linewidth=4)
        axes.tick_params(which="minor", length=0)
        return _svg(figure)


def probability_bar() -> str:
    """The colour bar of the heatmaps, lying."""
    with plt.rc_context({**_STYLE, "axes.grid": False}):
        figure = plt.figure(figsize=(4.2, 0.62))
        axes = figure.add_axes((0.03, 0.52, 0.94, 0.40))
        bar = figure.colorbar(plt.cm.ScalarMappable(cmap=_PROBABILITY), cax=axes, orientation="horizontal")
        bar.outline.set_visible(False)
        bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "0.25", "0.5", "0.75", "1"])
        axes.tick_params(labelsize=9)
        return _svg(figure)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    return text.getvalue()
