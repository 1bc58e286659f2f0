"""The superuser of a cluster with passwords: `tfcass`, with a password that this cluster alone has."""

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tfcass.errors import ClusterError, DevClusterError

if TYPE_CHECKING:
    from tfcass.cluster import Cluster, PasswordAuth

USERNAME = "tfcass"
_TIMEOUT_S = 120.0  # Cassandra makes its default superuser some seconds after it starts to answer.


def password_file(home: Path) -> Path:
    """File, readable by its owner only, that holds the password and nothing else."""
    return home / "password"


def ensure(home: Path, connect: Callable[["PasswordAuth"], "Cluster"]) -> None:
    """Makes the superuser and disables Cassandra's own, whose password everybody knows. Harmless to repeat.

    Args:
      home: Folder of the cluster.
      connect: Gives the cluster as reached with these credentials.
    Raises:
      DevClusterError: Neither superuser can log in.
    """
    from tfcass.cluster import PasswordAuth

    _ensure_password(password_file(home))
    ours = connect(PasswordAuth(USERNAME, password_file=str(password_file(home))))
    default = connect(PasswordAuth("cassandra", password="cassandra"))
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            _disable_default(ours)
            return
        except ClusterError as error:
            if time.monotonic() > deadline:
                raise DevClusterError(
                    f"user {USERNAME} cannot log in ({error}); its password is in {password_file(home)}. "
                    "`tfcass dev down --wipe` and a new start make a new one"
                ) from error
        try:
            _create(default, password_file(home).read_text().strip())
        except ClusterError:  # Not made yet, or already disabled: the next turn tells.
            time.sleep(0.5)


def _ensure_password(file: Path) -> None:
    if not file.exists():
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(secrets.token_urlsafe(24) + "\n")


def _create(cluster: "Cluster", password: str) -> None:
    with cluster.session() as session:
        session.execute(
            f"CREATE ROLE IF NOT EXISTS {USERNAME} WITH SUPERUSER = true AND LOGIN = true AND PASSWORD = '{password}'"
        )


def _disable_default(cluster: "Cluster") -> None:
    with cluster.session() as session:
        unknown = secrets.token_urlsafe(24)
        session.execute(f"ALTER ROLE cassandra WITH SUPERUSER = false AND LOGIN = false AND PASSWORD = '{unknown}'")
