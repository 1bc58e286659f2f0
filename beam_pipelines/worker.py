"""A worker process of the local runner: Beam's own, made quiet, and able to import this package from a checkout.

    python worker.py LIFELINE [--debug]

Run as a file, not with -m, so that it works from any directory.
"""

import os
import signal
import sys
import warnings
from pathlib import Path


def main() -> None:
    # Ctrl-C reaches the whole group of processes. The launcher alone acts on it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Not the script's own folder, where `options` and other plain names would become importable.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from beam_pipelines import lifeline

    lifeline.hold(sys.argv[1])
    debug = "--debug" in sys.argv
    if not debug:
        warnings.simplefilter("ignore")
        # Beam prints each error, which the launcher gets and tells as well. What C libraries print still comes through.
        sys.stderr = open(os.devnull, "w")
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
