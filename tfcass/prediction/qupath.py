"""Predictions as GeoJSON that QuPath (0.4 and later) imports: drag the file onto the open slide.

Each patch is a tile object with the probability of each class as a measurement: "Measure > Show measurement maps" then
colours them. Coordinates are level-0 pixels, "full resolution" in QuPath. Of slides that say which part was scanned
(MIRAX), QuPath shows that part only, with its corner as the origin, unless it was told not to crop: such slides need
frame="bounds".
"""

import json
import uuid

import numpy as np

from tfcass.errors import OptionError
from tfcass.prediction.heatmap import PROBABILITY_COLOURS
from tfcass.prediction.slide_rows import SlidePatches

FRAMES = ("level0", "bounds")
# By class, from 0: the two ends of the heatmap's scale first, then Okabe and Ito's other colours.
_CLASS_COLOURS = (
    PROBABILITY_COLOURS[0],
    PROBABILITY_COLOURS[-1],
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#F0E442",
)


def to_geojson(
    patches: SlidePatches,
    *,
    frame: str = "level0",
    bounds_l0: tuple[int, int, int, int] | None = None,
    least: float = 0.0,
    class_name: str | None = None,
) -> bytes:
    """A FeatureCollection, one tile a patch, its UUID as the object's id and its most probable class as the class.

    Args:
      patches: What to write.
      frame: "level0": coordinates as in the tables. "bounds": relative to the scanned part of the slide.
      bounds_l0: x, y, width, height of that part; needed for "bounds".
      least: Leaves out patches whose probability of `class_name` is below this, in [0, 1]: smaller files.
      class_name: For `least`.
    Returns:
      UTF-8 JSON, coordinates rounded to 1/100 pixel.
    Raises:
      OptionError: A setting is outside what is accepted, or bounds were asked and the slide has none.
    """
    if frame not in FRAMES:
        raise OptionError(f"frame={frame!r} is not one of {', '.join(map(repr, FRAMES))}")
    if frame == "bounds" and bounds_l0 is None:
        raise OptionError(
            f"slide {patches.slide!r} does not say which part was scanned, so there is no frame='bounds'; "
            "use frame='level0'"
        )
    if not 0 <= least <= 1:
        raise OptionError(f"least={least!r} is not in [0, 1]")
    chosen = np.ones(len(patches.keys), bool)
    if class_name is not None:
        chosen = patches.probabilities[:, patches.index_of(class_name)] >= least
    origin = np.array(bounds_l0[:2] if frame == "bounds" else (0, 0))
    features = [
        _feature(patches, i, np.round(patches.corners_l0[i] - origin, 2)) for i in np.flatnonzero(chosen).tolist()
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":")).encode()


def _feature(patches: SlidePatches, i: int, corner: np.ndarray) -> dict:
    x, y = corner.tolist()
    right, bottom = round(x + patches.side_l0, 2), round(y + patches.side_l0, 2)
    label = int(patches.probabilities[i].argmax())
    colour = _CLASS_COLOURS[label % len(_CLASS_COLOURS)]
    return {
        "type": "Feature",
        "id": str(uuid.UUID(bytes=patches.keys[i].tobytes())),
        "geometry": {"type": "Polygon", "coordinates": [[[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]]},
        "properties": {
            "objectType": "tile",
            "classification": {
                "name": patches.classes[label],
                "color": [int(colour[c : c + 2], 16) for c in (1, 3, 5)],
            },
            "measurements": {
                f"Probability {name}": round(float(value), 5)
                for name, value in zip(patches.classes, patches.probabilities[i], strict=True)
            },
        },
    }
