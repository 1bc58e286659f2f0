"""Lays a Report out as one self-contained HTML page: no script, no link, every picture a data URI."""

from beam_pipelines.drawing import overlays, palette
from beam_pipelines.drawing.page import environment, style_sheet
from beam_pipelines.drawing.pictures import patch_uri, photo_uri, svg_uri
from beam_pipelines.drawing.views import SlideView
from beam_pipelines.drawing.wording import percent
from tfcass.demo import figures
from tfcass.demo.contents import Report


def render(report: Report) -> str:
    """The page as text.

    Raises:
      ValueError: `report` has no slide with predictions to show as the unseen one.
      TfcassError: a patch's bytes are no image.
    """
    predicted = [view for view in report.slides if view.probabilities is not None]
    if not predicted:
        raise ValueError("the report needs a slide with predictions (SlideView.probabilities)")
    unseen = max(predicted, key=_interest)
    page = environment("tfcass.demo").get_template("report.html.j2")
    return page.render(
        report=report,
        css=style_sheet(),
        classes=list(enumerate(palette.CLASS_TITLES)),
        patients=len({view.patient_id for view in report.slides}),
        validation=_confusion(report, "val"),
        test=_confusion(report, "test"),
        curves=[
            ("Loss", svg_uri(figures.loss_curves(report.history))),
            ("Accuracy", svg_uri(figures.accuracy_curves(report.history))),
        ],
        confusions=[(item, svg_uri(figures.confusion_matrix(item))) for item in report.confusions],
        colour_bar=svg_uri(figures.probability_bar()),
        unseen=unseen,
        unseen_pictures=[
            ("The slide", photo_uri(unseen.thumbnail)),
            ("Truth: stored labels and outlines", photo_uri(overlays.draw_patches(unseen, fill_alpha=0.45))),
            (
                f"Prediction: {percent(unseen.right)} of the patches on the right side of 0.5",
                photo_uri(overlays.draw_probabilities(unseen)),
            ),
        ],
        other_predicted=[
            (view, photo_uri(overlays.draw_probabilities(view), quality=80)) for view in predicted if view is not unseen
        ],
        slides=[(view, photo_uri(overlays.draw_patches(view), quality=80)) for view in report.slides],
        patches=[
            (title, [(patch, patch_uri(patch.encoded)) for patch in report.patches if patch.label == label])
            for label, title in enumerate(palette.CLASS_TITLES)
        ],
        total_seconds=sum(stage.seconds for stage in report.stages),
    )


def _interest(view: SlideView) -> int:
    """The slide that tells most: many patches of both classes."""
    tumour = int(view.labels.sum())
    return min(tumour, len(view.labels) - tumour)


def _confusion(report: Report, split: str):
    return next((item for item in report.confusions if item.split == split), None)
