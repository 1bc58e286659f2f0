"""The colours of reports, in one place: pictures, plots and style sheet agree.

Okabe and Ito's colour-blind-safe set (jfly.uni-koeln.de/color, 2008) for classes and curves; a diverging scale between
the two class colours for probabilities, so that a heatmap reads like the truth beside it.
"""

from tfcass.prediction.heatmap import PROBABILITY_COLOURS, probability_rgb

__all__ = ["PROBABILITY_COLOURS", "probability_rgb", "rgb"]

CLASS_NAMES = ("normal", "tumor")  # By label. Data and file names use this spelling.
CLASS_TITLES = ("Normal", "Tumour")
CLASS_COLOURS = ("#0072B2", "#D55E00")

# Further classes of a class map, by label; after the last it begins anew.
MORE_CLASS_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
TISSUE = "#8a6d9e"
REJECTED = {"not annotated": "#c8d0d9", "too little annotated": "#F0E442", "too little tissue": "#9aa6b2"}
REJECTED_OTHERWISE = "#7a3b8f"  # For the pixels themselves: blur, pen, white.
FAILED = "#c00000"

INK = "#17212e"
MUTED = "#5d6b7a"
LINE = "#dfe5ec"
TRAIN = "#56B4E9"
VALIDATION = "#17212e"
BASELINE = "#8a949f"


def class_colour(label: int) -> str:
    """The colour of any class."""
    known = (*CLASS_COLOURS, *MORE_CLASS_COLOURS)
    return known[label] if 0 <= label < len(known) else MORE_CLASS_COLOURS[label % len(MORE_CLASS_COLOURS)]


def rgb(colour: str) -> tuple[int, int, int]:
    """ "#RRGGBB" -> three numbers in [0, 255]."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
