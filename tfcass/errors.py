"""Every exception that tfcass raises on purpose.

TfcassError
├── ClusterError          (ConnectionError)  the cluster cannot be reached or used
│   ├── AuthenticationError                  it refused the credentials
│   └── TlsError                             the TLS handshake failed
├── SchemaError           (ValueError)       keyspace, table or column: unknown or of an unfit type
├── KeyFormatError        (ValueError)       keys that are not uint8 [..., 16]
├── OptionError           (ValueError)       a setting outside what is accepted
├── SplitError            (ValueError)       rows that cannot be split as asked, or a damaged split folder
├── DevClusterError       (RuntimeError)     the development cluster cannot start or stop
├── MissingExtraError     (ImportError)      an optional package is absent
└── OpLibraryError        (ImportError)      the op library is absent or built for another TensorFlow

Each also derives from the built-in that it refines, so that `except ValueError` keeps working. Messages say what was
found, where, and what to do. Errors inside a running tf.data pipeline are TensorFlow's own (tf.errors.NotFoundError and
so on).
"""


class TfcassError(Exception):
    """Base of all: catch this one to catch everything that tfcass raises on purpose."""


class ClusterError(TfcassError, ConnectionError):
    """The cluster cannot be reached, or not with these settings."""


class AuthenticationError(ClusterError):
    """The cluster refused the username or password."""


class TlsError(ClusterError):
    """The TLS handshake failed: wrong authority, wrong host name, or a plain server."""


class SchemaError(TfcassError, ValueError):
    """A keyspace, table or column is unknown, or its type does not fit its use."""


class KeyFormatError(TfcassError, ValueError):
    """Keys that are not uint8 of shape [..., 16], or texts that are not UUIDs."""


class OptionError(TfcassError, ValueError):
    """A setting has a value outside what is accepted."""


class SplitError(TfcassError, ValueError):
    """Rows cannot be split as asked, or a saved split is damaged."""


class DevClusterError(TfcassError, RuntimeError):
    """The development cluster cannot do what was asked."""


class MissingExtraError(TfcassError, ImportError):
    """An optional package is needed and absent; the message holds the command that installs it."""


class OpLibraryError(TfcassError, ImportError):
    """The op library is absent, or was built for another TensorFlow."""
