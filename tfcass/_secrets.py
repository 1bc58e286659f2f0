"""Passwords given in the clear, known to the libraries by an id.

A graph may be saved, printed or sent elsewhere, so it holds `process:<id>`; what the id stands for stays in this
process's memory.
"""

import secrets
import threading

_lock = threading.Lock()
_id_of: dict[str, str] = {}


def register(secret: str) -> str:
    """The id of `secret`: the same for equal secrets, so that equal clusters share sessions. Told to a library once."""
    from tfcass import _ops

    with _lock:
        if secret not in _id_of:
            # Random, not counted: an id from another process must be unknown here, never somebody else's password.
            new_id = secrets.token_hex(8)
            _ops.put_secret(new_id, secret)
            _id_of[secret] = new_id
        return _id_of[secret]
