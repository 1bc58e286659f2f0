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


def patches(name: str) -> tf.data.Dataset:
    """Batches of (uint8 [b, 64, 64, 3], int32 [b]), read from the cluster in a seeded random order."""
    keys = tfcass.Shard(0, 1).keys(splits, name, epoch=0, seed=1)
    ds = tfcass.CassandraDataset(keys, table=f"{keyspace}.data_by_uuid", cluster=cluster, batch_size=32)
    return ds.map(lambda row: (tf.map_fn(decode, row["data"], tf.uint8), row["label"]), tf.data.AUTOTUNE).prefetch(2)


def decode(jpeg: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.image.resize(tf.io.decode_jpeg(jpeg, channels=3), [64, 64], method="area"), tf.uint8)


layers = [keras.layers.Input((64, 64, 3)), keras.layers.Rescaling(1 / 127.5, -1)]
for filters in (16, 32, 64):
    layers += [
        keras.layers.Conv2D(filters, 3, strides=2),
        keras.layers.BatchNormalization(momentum=0.8),
        keras.layers.ReLU(),
    ]
model = keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(len(splits.classes))])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
model.fit(patches("train"), validation_data=patches("val"), epochs=3, verbose=2)
