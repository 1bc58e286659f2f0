"""A saved model, and what it says of patches that lie in Cassandra."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfcass.cluster import Cluster
from tfcass.errors import OptionError, TfcassError

if TYPE_CHECKING:
    import keras

ACTIVATIONS = ("auto", "softmax", "sigmoid", "none")


def load_model(path: str | os.PathLike[str], *, classes: int | None = None) -> "keras.Model":
    """A model as examples/train_patches.py saves it: uint8 [n, size, size, 3] -> [n, classes].

    Args:
      path: A .keras file.
      classes: Number of classes that it must have; None takes any.
    Raises:
      TfcassError: No such file, not a Keras model, damaged, or of a Keras that cannot be read here.
      OptionError: It takes no square images, or has another number of classes.
    """
    import keras

    path = Path(path)
    if not path.is_file():
        raise TfcassError(f"model {str(path)!r} is not there: train one with examples/train_patches.py")
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever zip, HDF5 and JSON raise.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TfcassError(
            f"model {str(path)!r} cannot be read: {reason}; it must be a whole .keras file, of Keras "
            f"{keras.__version__} or one near it"
        ) from error
    takes, gives = model.input_shape, model.output_shape
    if not isinstance(takes, tuple) or len(takes) != 4 or takes[1] != takes[2] or not takes[1] or takes[3] != 3:
        raise OptionError(f"model {str(path)!r} takes {takes}, not images [n, size, size, 3] of a fixed size")
    if len(gives) != 2 or (classes is not None and gives[1] != classes):
        wanted = "[n, classes]" if classes is None else f"[n, {classes}]: name all its classes, in their order"
        raise OptionError(f"model {str(path)!r} gives {list(gives)}, not {wanted}")
    return model


def predict(
    model: "keras.Model",
    keys: np.ndarray,
    *,
    table: str,
    cluster: Cluster,
    batch_size: int = 64,
    activation: str = "auto",
) -> np.ndarray:
    """Probabilities of patches, read in the order of `keys`, some batches ahead of the model.

    Args:
      model: As from load_model.
      keys: uint8 [n, 16].
      table: "keyspace.table" with the images in column `data`; they are resized to what the model takes.
      batch_size: Patches at a time.
      activation: What makes probabilities of the model's output: "softmax", "sigmoid" (several classes at once), "none"
        if it gives them, or "auto": "none" where the model ends with one of these, else "softmax".
    Returns:
      float32 [n, classes].
    Raises:
      OptionError: An image cannot be decoded, or a setting is outside what is accepted.
      tf.errors.NotFoundError: A patch is in no row of `table`; and as CassandraDataset.
    """
    import tensorflow as tf

    from tfcass.dataset import CassandraDataset
    from tfcass.images import batch_decoder

    if activation not in ACTIVATIONS:
        raise OptionError(f"activation={activation!r} is not one of {', '.join(map(repr, ACTIVATIONS))}")
    if not len(keys):
        return np.zeros((0, model.output_shape[-1]), np.float32)
    first = next(iter(CassandraDataset(keys[:1], table=table, cluster=cluster, columns=("data",))))["data"].numpy()
    decode = batch_decoder(first, model.input_shape[1])
    rows = CassandraDataset(keys, table=table, cluster=cluster, columns=("data",), batch_size=batch_size)
    scores = model.predict(rows.map(lambda row: decode(row["data"]), tf.data.AUTOTUNE).prefetch(2), verbose=0)
    if activation == "auto":
        activation = "none" if _gives_probabilities(model) else "softmax"
    if activation != "none":
        scores = getattr(tf.nn, activation)(tf.cast(scores, tf.float32)).numpy()
    return np.asarray(scores, np.float32)


def image_side(key: np.ndarray, *, table: str, cluster: Cluster) -> int:
    """Width of a stored patch in its own pixels."""
    from tfcass.dataset import CassandraDataset
    from tfcass.images import decode_image

    row = next(iter(CassandraDataset(key[None], table=table, cluster=cluster, columns=("data",))))
    return int(decode_image(row["data"]).shape[1])


def _gives_probabilities(model: "keras.Model") -> bool:
    import keras

    last = model.layers[-1]
    named = getattr(getattr(last, "activation", None), "__name__", "")
    return named in ("softmax", "sigmoid") or isinstance(last, keras.layers.Softmax)
