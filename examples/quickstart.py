"""Patches in Cassandra -> a trained model, in one process: python examples/quickstart.py HOST PORT KEYSPACE"""

import sys

import keras
import tensorflow as tf

import tfcass

host, port, keyspace = sys.argv[1:]
cluster = tfcass.Cluster([host], port=int(port))
rows = tfcass.read_rows(f"{keyspace}.metadata_by_nat", cluster=cluster)
splits = tfcass.split(rows, ratios={"train": 8, "val": 2}, group_by="patient_id", seed=1)
print(splits.report())


def batches(name: str) -> tf.data.Dataset:
    # Keys are 16 bytes: the buffer holds a whole split, so this is a true global shuffle, another one each epoch.
    keys = tf.data.Dataset.from_tensor_slices(splits.keys(name)).shuffle(100_000)
    ds = keys.apply(tfcass.fetch(f"{keyspace}.data_by_uuid", cluster=cluster))
    return ds.map(decode, tf.data.AUTOTUNE).batch(32).prefetch(2)


def decode(row: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.image.resize(tfcass.images.decode_image(row["data"]), [64, 64], "area"), row["label"]


layers = [keras.layers.Rescaling(1 / 127.5, -1)]
for filters in (16, 32, 64):
    layers += [keras.layers.Conv2D(filters, 3, 2, activation="relu"), keras.layers.BatchNormalization(momentum=0.8)]
model = keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(len(splits.classes))])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
model.fit(batches("train"), validation_data=batches("val"), epochs=3, shuffle=False, verbose=2)
