"""Which command installs an absent package."""

from tfcass.errors import MissingExtraError

# Top-level module -> what pip is asked for.
_INSTALL = {
    "apache_beam": "'tfcass[beam]'",
    "acsylla": "'tfcass[driver]'",
    "cassandra": "'tfcass[driver]'",
    "cryptography": "'tfcass[devcluster]'",
    "horovod": "'tfcass[horovod]'",
    "matplotlib": "'tfcass[demo]'",
    "openslide": "'tfcass[slides]'",
    "psutil": "'tfcass[devcluster]'",
    "tensorflow": "tensorflow-cpu",
}


def missing_extra(error: ModuleNotFoundError, *, wanted_by: str) -> MissingExtraError | None:
    """The error for a package that an extra brings, or None when `error` is about anything else (a bug, then).

    Args:
      error: What `import` raised.
      wanted_by: What the user asked for, as in `tfcass.CassandraDataset`.
    """
    module = (error.name or "").partition(".")[0]
    if module not in _INSTALL:
        return None
    return MissingExtraError(f"{wanted_by} needs the module {module}, which is absent: pip install {_INSTALL[module]}")
