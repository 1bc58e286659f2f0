"""The colours of the report, in one place: pictures, plots and style sheet agree.

Okabe and Ito's colour-blind-safe set (jfly.uni-koeln.de/color, 2008) for classes and curves; a diverging scale between
the two class colours for probabilities, so that a heatmap reads like the truth beside it.
"""

from tfcass.prediction.heatmap import PROBABILITY_COLOURS, probability_rgb

__all__ = ["PROBABILITY_COLOURS", "probability_rgb", "rgb"]

CLASS_NAMES = ("normal", "tumor")  # By label. Data and file names use this spelling.
CLASS_TITLES = ("Normal", "Tumour")
CLASS_COLOURS = ("#0072B2", "#D55E00")

INK = "#17212e"
MUTED = "#5d6b7a"
LINE = "#dfe5ec"
TRAIN = "#56B4E9"
VALIDATION = "#17212e"
BASELINE = "#8a949f"


def rgb(colour: str) -> tuple[int, int, int]:
    """ "#RRGGBB" -> three numbers in [0, 255]."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
