"""Cross-validation in one command: trains and validates a model for each of k folds, and tells how they differ.

    python examples/cross_validate.py --folds 5 --group-by patient_id --out out/folds \
        --port 9042 --keyspace patches --classes normal tumor --epochs 6
    horovodrun -np 2 --gloo python examples/cross_validate.py ... (the same)

Each fold is a run of train_patches.py: all its flags may be given but --splits, --train, --val and --resume. Groups
(patients) stay together; each is validated on exactly once. Started again with the same --out, it goes on with the fold
that was not finished, after that fold's last whole epoch, on the same folds even if rows were added meanwhile.

Rank 0 writes to --out
  cross_validation.json   {"folds": [{"fold": 0, "accuracy", ...}], "mean": {...}, "sd": {...}}: sd over folds, n - 1
  splits/                 the folds, as Splits.save() writes them
  fold<i>/                what train_patches.py writes, and result.json once the fold is finished
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import train_patches

from tfcass import scripts
from tfcass.errors import OptionError, TfcassError

MEASURES = ("accuracy", "balanced_accuracy", "majority", "val_loss")
FIXED = ("--splits", "--train", "--val", "--resume", "--no-resume")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="All other flags are those of train_patches.py: see there.",
        allow_abbrev=False,
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--group-by", nargs="+", default=["patient_id"], help="columns whose rows stay together")
    parser.add_argument("--label", default="label", help="column of the metadata table, to balance folds by")
    parser.add_argument("--metadata-table", default="metadata_by_nat", help="says which patches there are")
    parser.add_argument("--out", type=Path, default=Path("out/cross_validation"))
    args, rest = parser.parse_known_args(argv)
    given = [flag for flag in FIXED if any(word == flag or word.startswith(flag + "=") for word in rest)]
    if given:
        parser.error(f"{given[0]} is set for each fold by cross-validation itself")
    args.flags = rest
    args.training = train_patches.parse_args(rest)  # Wrong flags are told now, and --help shows those, too.
    return args


def main(args: argparse.Namespace) -> None:
    import keras

    from tfcass.training import ranks

    scripts.use_threads(args.training.threads)  # Before ranks exchange anything: then TensorFlow runs.
    on_first(ranks, lambda: prepare(args))
    results = []
    for fold in range(args.folds):
        folder = args.out / f"fold{fold}"
        result = on_first(ranks, lambda folder=folder: finished(folder))
        if result is None:
            on_first(ranks, lambda fold=fold, folder=folder: prepare_fold(args, fold, folder))
            if ranks.is_first():
                print(f"fold {fold + 1} of {args.folds}", flush=True)
            keras.backend.clear_session()  # Else the models of all folds stay in memory.
            train_patches.main(train_patches.parse_args([*args.flags, *flags_of_fold(folder)]))
            result = on_first(ranks, lambda fold=fold, folder=folder: conclude(fold, folder))
        elif ranks.is_first():
            print(f"fold {fold + 1} of {args.folds} was finished before", flush=True)
        results.append(result)
    if ranks.is_first():
        summary = summarise(results)
        scripts.write_json(args.out / "cross_validation.json", summary)
        show(summary)


def on_first(ranks, action):
    """Does it on rank 0 and gives all ranks its result, or its error."""
    outcome = None
    if ranks.is_first():
        try:
            outcome = action()
        except TfcassError as error:
            outcome = error
    outcome = ranks.from_first(outcome)
    if isinstance(outcome, TfcassError):
        raise outcome
    return outcome


def prepare(args: argparse.Namespace) -> None:
    """Makes the folds, or checks that those in --out are the ones that were asked for."""
    import tfcass

    folder = args.out / "splits"
    if (folder / "manifest.json").exists():
        recipe = tfcass.Splits.load(folder).recipe
        asked = {
            "folds": args.folds,
            "group_by": tuple(args.group_by),
            "label": args.label,
            "seed": args.training.seed,
        }
        for name, value in asked.items():
            found = getattr(recipe, name)
            if found != value:
                raise OptionError(
                    f"{args.out} holds a cross-validation with {name}={found!r}, not {value!r}; "
                    "pass another --out, or the same settings to go on"
                )
        return
    rows = tfcass.read_rows(
        f"{args.training.keyspace}.{args.metadata_table}", cluster=scripts.cluster_of(args.training)
    )
    folds = tfcass.split(rows, folds=args.folds, group_by=args.group_by, label=args.label, seed=args.training.seed)
    scripts.make_folder(args.out)
    folds.save(folder)
    print(folds.report(), flush=True)


def prepare_fold(args: argparse.Namespace, fold: int, folder: Path) -> None:
    import tfcass

    scripts.make_folder(folder)
    tfcass.Splits.load(args.out / "splits").fold(fold).save(folder / "splits")


def flags_of_fold(folder: Path) -> list[str]:
    return ["--splits", str(folder / "splits"), "--out", str(folder)]


def finished(folder: Path) -> dict | None:
    """The result of a fold that is done."""
    try:
        return json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TfcassError(
            f"{folder / 'result.json'} cannot be read ({error}); remove it to train this fold again"
        ) from error


def conclude(fold: int, folder: Path) -> dict:
    """Reads what the training wrote, and marks the fold as finished."""
    confusion = json.loads((folder / "confusion.json").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    epochs = json.loads((folder / "history.json").read_text())["epochs"]
    recalls = [row[label] / sum(row) for label, row in enumerate(confusion["matrix"]) if sum(row)]
    result = {
        "fold": fold,
        "train_rows": summary["train_rows"],
        "val_rows": summary["val_rows"],
        "epochs": summary["epochs"],
        "accuracy": confusion["accuracy"],
        "balanced_accuracy": sum(recalls) / len(recalls),
        "majority": confusion["majority"],
        "val_loss": epochs[-1]["val_loss"],
    }
    scripts.write_json(folder / "result.json", result)
    return result


def summarise(results: list[dict]) -> dict:
    values = {name: [result[name] for result in results] for name in MEASURES}
    return {
        "folds": results,
        "mean": {name: statistics.fmean(of_folds) for name, of_folds in values.items()},
        "sd": {name: statistics.stdev(of_folds) for name, of_folds in values.items()},
    }


def show(summary: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="cross-validation")
    columns = ("fold", "train_rows", "val_rows", *MEASURES)
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for result in summary["folds"]:
        table.add_row(*(f"{result[name]:.4f}" if name in MEASURES else str(result[name]) for name in columns))
    table.add_section()
    for what in ("mean", "sd"):
        table.add_row(what, "", "", *(f"{summary[what][name]:.4f}" for name in MEASURES))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(scripts.run(main, parse_args()))
