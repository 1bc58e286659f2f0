"""A model over whole slides: patches -> probabilities -> a table, a picture, objects for QuPath.

    rows = prediction.rows_of_slide("wsi.metadata_by_nat", "P07_2.mrxs", cluster=cluster)
    model = prediction.load_model("out/training/model.keras", classes=2)
    probabilities = prediction.predict(model, key_array(rows, "patch_id"), table="wsi.data_by_uuid", cluster=cluster)
    prediction.write_predictions("wsi.predictions", patches, model="baseline", cluster=cluster)

slide_rows.py  the patches of a slide, from the metadata table; SlidePatches: places and probabilities together
scoring.py     load_model, predict                                     these two import TensorFlow when they are called
store.py       the table of predictions
heatmap.py     a picture over the slide's thumbnail, or over nothing
qupath.py      GeoJSON for QuPath

A whole script: examples/predict_slide.py. No module here reads slide files: thumbnails come in as arrays.
"""

from tfcass.prediction.heatmap import draw_heatmap, probability_rgb
from tfcass.prediction.qupath import to_geojson
from tfcass.prediction.scoring import load_model, predict
from tfcass.prediction.slide_rows import SlidePatches, rows_of_slide
from tfcass.prediction.store import create_table, write_predictions

__all__ = [
    "SlidePatches",
    "create_table",
    "draw_heatmap",
    "load_model",
    "predict",
    "probability_rgb",
    "rows_of_slide",
    "to_geojson",
    "write_predictions",
]
