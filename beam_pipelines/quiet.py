"""Keeps libraries' logs off the terminal: a run says what happened in its own words."""

import contextlib
import logging
import threading
from collections.abc import Iterator

# cassandra: each failed attempt, which retries mend or a dead letter tells. apache_beam: a traceback of each worker.
_NOISY = ("apache_beam", "cassandra")


@contextlib.contextmanager
def quiet_libraries(*, debug: bool = False) -> Iterator[None]:
    """Silences Beam and the driver while the block runs, imports included; with `debug`, does nothing."""
    if debug:
        yield
        return
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    hook = threading.excepthook
    root.addFilter(_not_from_beam)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # Beam's threads raise when their worker goes away, and the launcher's own error tells of it.
    threading.excepthook = lambda arguments: None if _is_beam(arguments) else hook(arguments)
    try:
        yield
    finally:
        threading.excepthook = hook
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        root.removeFilter(_not_from_beam)


def _not_from_beam(record: logging.LogRecord) -> bool:
    return "apache_beam" not in record.pathname  # Importing Beam warns of an absent package through the root logger.


def _is_beam(arguments: threading.ExceptHookArgs) -> bool:
    trace = arguments.exc_traceback
    while trace is not None:
        if "apache_beam" in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False
