"""Classifies every patch of the test patients' slides, read through the op: `python -m tfcass.demo.predict --out out`.

Writes predictions.parquet (patch_id, patient_id, slide, x, y, label, in_split, probability) and speed.json.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pyarrow as pa  # noqa: E402  (TensorFlow reads its log level when it is imported)
import pyarrow.compute as pc  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

import tfcass  # noqa: E402
from tfcass import prediction  # noqa: E402
from tfcass._files import replace_file  # noqa: E402
from tfcass.demo.gather import confusion_of_predictions, split_of_patient  # noqa: E402
from tfcass.demo.read_back import measure_reads  # noqa: E402
from tfcass.demo.settings import DATA_TABLE, METADATA_TABLE, Paths  # noqa: E402
from tfcass.devcluster import DevCluster  # noqa: E402
from tfcass.errors import TfcassError  # noqa: E402
from tfcass.splits.rows import key_array  # noqa: E402

SPLIT = "test"
_COLUMNS = ("patch_id", "patient_id", "slide", "x", "y", "label")


def rows_of_test_patients(metadata: pa.Table, splits: tfcass.Splits) -> pa.Table:
    """All stored patches of the test patients, whether the split took them or not, with a column `in_split`."""
    patients = [patient for patient, split in split_of_patient(splits).items() if split == SPLIT]
    rows = metadata.filter(pc.is_in(metadata["patient_id"], pa.array(patients))).select(_COLUMNS)
    taken = set(splits.table(SPLIT)["patch_id"].to_pylist())
    return rows.append_column("in_split", pa.array([key in taken for key in rows["patch_id"].to_pylist()]))


def write_results(predictions: pa.Table, speed: Mapping[str, float], paths: Paths) -> None:
    """Writes both files; what an earlier run left stays until the new one is whole.

    Raises:
      TfcassError: a file cannot be written.
    """
    parquet = pa.BufferOutputStream()
    pq.write_table(predictions, parquet)
    text = json.dumps(dict(speed), indent=1) + "\n"
    for path, data in ((paths.predictions, parquet.getvalue()), (paths.speed, text.encode())):
        try:
            replace_file(path, data)
        except OSError as error:
            reason = error.strerror or error
            raise TfcassError(f"cannot write {str(path)!r}: {reason}; make room and run the demo again") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tfcass.demo.predict", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the demo run")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffled reads that are timed")
    arguments = parser.parse_args()
    paths = Paths(arguments.out)
    cluster = DevCluster(paths.cluster).connect()
    metadata = tfcass.read_rows(METADATA_TABLE, cluster=cluster)
    rows = rows_of_test_patients(metadata, tfcass.Splits.load(paths.splits))

    print(f"classifying {rows.num_rows:,} patches", flush=True)
    model = prediction.load_model(paths.training / "model.keras", classes=2)
    start = time.perf_counter()
    keys = key_array(rows, "patch_id")
    probability = prediction.predict(model, keys, table=DATA_TABLE, cluster=cluster)[:, 1]
    seconds = time.perf_counter() - start
    rows = rows.append_column("probability", pa.array(probability))

    print("measuring random reads", flush=True)
    reads = measure_reads(key_array(metadata, "patch_id"), table=DATA_TABLE, cluster=cluster, seed=arguments.seed)
    confusion = confusion_of_predictions(SPLIT, rows)
    speed = {
        "accuracy": confusion.accuracy,
        "majority": confusion.majority,
        "predicted_rows": rows.num_rows,
        "predicted_rows_per_s": rows.num_rows / seconds,
        "read_rows": reads.rows,
        "read_rows_per_s": reads.rows_per_s,
        "read_mb_per_s": reads.mb_per_s,
    }
    write_results(rows, speed, paths)
    print(f"{SPLIT}: accuracy {confusion.accuracy:.1%} over {confusion.total} patches", flush=True)


if __name__ == "__main__":
    try:
        main()
    except TfcassError as told:
        sys.exit(f"error: {told}")
