"""Runs a model over all patches of slides: a heatmap, objects for QuPath, and a table of probabilities.

    python examples/predict_slide.py --port 9042 --keyspace patches --model out/training/model.keras \
        --slide P07_1.mrxs /data/slides/P07_2.mrxs --out out/predictions

A slide is given by its name in the metadata table, or as the slide file itself: then the heatmap is drawn over its
thumbnail, and coordinates for QuPath can be relative to its scanned part (--frame bounds, as QuPath shows MIRAX).

Writes to --out, for each slide
  <slide>.heatmap.png   each patch in the colour of its probability
  <slide>.geojson       drag it onto the slide in QuPath: a tile a patch, probabilities as measurements
and to the table --predictions a row for each patch and class: slide, model, label, patch_id, x, y, side, probability.
"""

import argparse
import io
import sys
from pathlib import Path

from tfcass import scripts
from tfcass.errors import OptionError, TfcassError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    scripts.add_cluster_flags(parser)
    data = parser.add_argument_group("data")
    data.add_argument("--keyspace", default="patches")
    data.add_argument("--metadata-table", default="metadata_by_nat", help="says which patches a slide has")
    data.add_argument("--table", default="data_by_uuid", help="table of the images")
    data.add_argument("--slide", nargs="+", required=True, help="names of slides, or slide files")
    data.add_argument("--side-l0", type=float, help="side of a patch in level-0 pixels; default: by its level or mpp")
    model = parser.add_argument_group("model")
    model.add_argument("--model", type=Path, default=Path("out/training/model.keras"))
    model.add_argument("--classes", nargs="+", default=["normal", "tumor"], help="names of its outputs, in their order")
    model.add_argument("--activation", default="auto", help="auto, softmax, sigmoid, or none: see prediction.predict")
    model.add_argument("--batch", type=int, default=64)
    out = parser.add_argument_group("output")
    out.add_argument("--out", type=Path, default=Path("out/predictions"))
    out.add_argument("--draw", help="class whose probability is drawn; default: the last one")
    out.add_argument(
        "--predictions", default="predictions", help="table to write to, made if it is absent; '' for none"
    )
    out.add_argument("--model-name", help="name of the model in that table; default: its file name")
    out.add_argument("--frame", choices=["level0", "bounds"], default="level0", help="origin of GeoJSON coordinates")
    out.add_argument("--least", type=float, default=0.0, help="GeoJSON without patches less probable than this")
    out.add_argument("--max-size", type=int, default=1200, help="longest side of the heatmap, in pixels")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    from tfcass import prediction
    from tfcass.splits.rows import key_array

    cluster = scripts.cluster_of(args)
    drawn = args.draw or args.classes[-1]
    if drawn not in args.classes:
        raise OptionError(f"--draw {drawn} is not one of the classes: {', '.join(args.classes)}")
    table, metadata = f"{args.keyspace}.{args.table}", f"{args.keyspace}.{args.metadata_table}"
    model = prediction.load_model(args.model, classes=len(args.classes))
    for slide in args.slide:
        name, is_file = Path(slide).name, Path(slide).is_file()
        if not is_file and len(Path(slide).parts) > 1:
            raise TfcassError(f"slide file {slide!r} is not there; give its path, or the slide's name in {metadata}")
        rows = prediction.rows_of_slide(metadata, name, cluster=cluster)
        view = View.of_file(Path(slide), args.max_size) if is_file else View()
        keys = key_array(rows, "patch_id")
        probabilities = prediction.predict(
            model, keys, table=table, cluster=cluster, batch_size=args.batch, activation=args.activation
        )
        side_l0 = args.side_l0 or side_of_patches(rows, view, table, cluster)
        patches = prediction.SlidePatches.of_rows(rows, probabilities, side_l0=side_l0, classes=tuple(args.classes))
        picture = prediction.draw_heatmap(
            patches,
            drawn,
            thumbnail=view.thumbnail,
            downsample=view.downsample,
            origin_l0=view.origin_l0,
            max_size_px=args.max_size,
        )
        geojson = prediction.to_geojson(
            patches, frame=args.frame, bounds_l0=view.bounds_l0, least=args.least, class_name=drawn
        )
        if args.frame == "level0" and view.origin_l0 != (0, 0):
            print(f"{name}: QuPath shows the scanned part only; for it, pass --frame bounds", file=sys.stderr)
        scripts.write_bytes(args.out / f"{name}.heatmap.png", png(picture))
        scripts.write_bytes(args.out / f"{name}.geojson", geojson)
        of_class = patches.probabilities[:, patches.index_of(drawn)]
        told = f"{name}: {len(keys)} patches, {(of_class >= 0.5).sum()} of them {drawn}, mean {of_class.mean():.3f}"
        if args.predictions:
            written = prediction.write_predictions(
                f"{args.keyspace}.{args.predictions}",
                patches,
                model=args.model_name or args.model.name,
                cluster=cluster,
            )
            told += f"; {written} rows in {args.keyspace}.{args.predictions}"
        print(told, flush=True)


class View:
    """What is drawn under the patches: nothing, or the scanned part of the slide."""

    thumbnail, downsample, origin_l0, bounds_l0, mpp = None, None, (0, 0), None, None

    @classmethod
    def of_file(cls, path: Path, max_size_px: int) -> "View":
        """Raises SlideError if the file is no slide."""
        from beam_pipelines.slides.open import open_slide

        view = cls()
        with open_slide(path) as slide:
            view.bounds_l0, view.mpp = slide.bounds_l0, slide.mpp
            x, y, width, height = slide.scanned_l0
            view.downsample = max(1.0, max(width, height) / max_size_px)
            size = tuple(max(1, round(side / view.downsample)) for side in (width, height))
            view.thumbnail = slide.read_patch(x, y, size, view.downsample)
        view.origin_l0 = (x, y)
        return view


def side_of_patches(rows, view: View, table: str, cluster) -> float:
    """Level-0 pixels that a patch covers, from its own width and the level, or mpp, that it was taken at."""
    from tfcass.prediction.scoring import image_side
    from tfcass.splits.rows import key_array

    levels, mpps = set(rows["level"].to_pylist()), set(rows["mpp"].to_pylist())
    if len(levels) == 1 and None not in levels:
        downsample = 2 ** levels.pop()
    elif len(mpps) == 1 and None not in mpps and view.mpp is not None:
        downsample = mpps.pop() / view.mpp[0]
    else:
        raise TfcassError(
            "the patches of this slide are not of one level, or of one mpp and the slide file at hand: "
            "say with --side-l0 how large one is"
        )
    return float(image_side(key_array(rows.slice(0, 1), "patch_id")[0], table=table, cluster=cluster) * downsample)


def png(pixels) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(scripts.run(main, parse_args()))
