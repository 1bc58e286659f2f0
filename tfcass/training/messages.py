"""Errors of a running pipeline, without the graph around them."""

import re

import tensorflow as tf

# What TensorFlow wraps around the message of an op.
_AROUND = re.compile(
    r"^\s*(Graph execution error:|Detected at node|File \"|\[\[.*\]\]\s*$|<stack traces|\d+ root error|\(\d+\) \w+:$|$)"
)
# What an Assert says: its only datum, with quotes and backslashes escaped.
_ASSERTED = re.compile(r"^(?:.*: )?assertion failed: \[(.*)\]$")
_NODES = re.compile(r"\{\{(function_node|node) [^}]*\}\}\s*|\s*\[Op:\w+\].*$")


def plain_message(error: tf.errors.OpError) -> str:
    """What the op said, in one line: "no row 09b34ae6-... in ks.data_by_uuid (asked ...)"."""
    lines = [_NODES.sub("", line) for line in error.message.splitlines()]
    told = " ".join(line.strip() for line in lines if not _AROUND.match(line)) or error.message
    asserted = _ASSERTED.match(told)
    return re.sub(r"\\(.)", r"\1", asserted.group(1)) if asserted else told
