"""What scripts that train or predict have in common, so that an example shows only what is its own.

    parser = argparse.ArgumentParser(...)
    scripts.add_cluster_flags(parser)
    args = parser.parse_args()
    sys.exit(scripts.run(main, args))       # a user's mistake, a lost cluster: one line, and exit code 1

Importing this module imports no TensorFlow, so that --help is quick.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tfcass._files import replace_file
from tfcass.cluster import Cluster, PasswordAuth, Tls
from tfcass.errors import TfcassError


def add_cluster_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --contact-points, --port, --local-dc, --username, --password-env and --ca, for `cluster_of`."""
    cluster = parser.add_argument_group("cluster")
    # Not --host: horovodrun's own parser takes that for one of its options, wherever it stands.
    cluster.add_argument("--contact-points", default="127.0.0.1", help="addresses to connect to first, comma-separated")
    cluster.add_argument("--port", type=int, default=9042)
    cluster.add_argument("--local-dc", help="datacenter to read from")
    cluster.add_argument("--username")
    cluster.add_argument("--password-env", default="CASS_PW", help="environment variable that holds the password")
    cluster.add_argument("--ca", help="PEM file of the authority: turns TLS on")


def cluster_of(args: argparse.Namespace) -> Cluster:
    """The cluster that the flags of `add_cluster_flags` describe.

    Raises:
      OptionError: A flag is outside what is accepted.
    """
    auth = PasswordAuth(args.username, password_env=args.password_env) if args.username else None
    tls = Tls(ca=args.ca) if args.ca else None
    return Cluster(args.contact_points.split(","), port=args.port, local_dc=args.local_dc, auth=auth, tls=tls)


def use_threads(threads: int = 0) -> None:
    """Bounds TensorFlow's threads; call it before TensorFlow runs anything.

    Args:
      threads: Of this process; 0 means its share of the machine's cores, by the number of Horovod processes on it.
    """
    import tensorflow as tf

    threads = threads or max(1, (os.cpu_count() or 1) // int(os.environ.get("HOROVOD_LOCAL_SIZE", 1)))
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(max(2, threads))
    except RuntimeError:  # TensorFlow runs already, as in a notebook: it keeps what it has.
        pass


def make_folder(path: str | os.PathLike[str]) -> None:
    """Makes a folder with all above it; it may be there.

    Raises:
      TfcassError: It cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TfcassError(f"cannot make folder {os.fspath(path)!r}: {error.strerror or error}") from error


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Writes `value` in one step: the file is there complete, or as it was.

    Raises:
      TfcassError: The file cannot be written.
    """
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """As `write_json`, for any file. Its folder is made if it is absent."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        raise TfcassError(
            f"cannot write {str(path)!r}: {error.strerror or error}; make room, or pass another --out"
        ) from error


def run(main: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> int:
    """Calls `main(args)`, and tells what a user can mend in one line on stderr.

    Returns:
      The exit code: 0 done, 1 failed, 130 stopped with Ctrl-C. A bug keeps its traceback.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Before TensorFlow is imported.
    try:
        main(args)
    except TfcassError as error:
        message = str(error)
    except KeyboardInterrupt:
        print("stopped; the same command goes on with what was not finished", file=sys.stderr)
        return 130
    except OSError as error:  # Of the files that scripts write to args.out themselves, a model among them.
        if getattr(args, "out", None) is None:
            raise
        message = f"cannot write into {args.out}: {error}; make room, then the same command goes on"
    except Exception as error:
        message = _pipeline_error(error)
        if message is None:
            raise
    else:
        return 0
    print(f"error: {message}", file=sys.stderr)
    return 1


def _pipeline_error(error: Exception) -> str | None:
    if "tensorflow" not in sys.modules:
        return None
    import tensorflow as tf

    from tfcass.training import plain_message

    return plain_message(error) if isinstance(error, tf.errors.OpError) else None
