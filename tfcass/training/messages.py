"""Errors of a running pipeline, without the graph around them."""

import re

import tensorflow as tf

# What TensorFlow wraps around the message of an op.
_AROUND = re.compile(
    r"^\s*(Graph execution error:|Detected at node|File \"|\[\[.*\]\]\s*$|<stack traces|\d+ root error|\(\d+\) \w+:$|$)"
)
_NODES = re.compile(r"\{\{(function_node|node) [^}]*\}\}\s*|\s*\[Op:\w+\].*$")


def plain_message(error: tf.errors.OpError) -> str:
    """What the op said, in one line: "no row 09b34ae6-... in ks.data_by_uuid (asked ...)"."""
    lines = [_NODES.sub("", line) for line in error.message.splitlines()]
    return " ".join(line.strip() for line in lines if not _AROUND.match(line)) or error.message
