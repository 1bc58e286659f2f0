"""What a server wants before it serves: a user with a password, and TLS. `tfcass.cluster` exports both."""

import dataclasses
import os
import ssl
from pathlib import Path
from typing import Any

from tfcass.errors import OptionError


@dataclasses.dataclass(frozen=True)
class PasswordAuth:
    """A user name, and where the password is. Exactly one of the three password arguments is given.

    With `password_env` or `password_file` the password is read when a connection opens, in the process that opens it. A
    password given in the clear stays in this process: in no repr, log, graph or checkpoint, and pickling refuses it.

    Attributes:
      username: The role that logs in.
      password: The password itself.
      password_env: Name of an environment variable that holds it.
      password_file: Path of a file that holds it, UTF-8; one newline at the end is not part of it.
    Raises:
      OptionError: None or several of the password arguments are given, or one of them is no text.
    """

    username: str
    password: str | None = dataclasses.field(default=None, kw_only=True, repr=False)
    password_env: str | None = dataclasses.field(default=None, kw_only=True)
    password_file: str | os.PathLike | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.username, str) or not self.username:
            raise OptionError(f"PasswordAuth(username={self.username!r}): username must be a text that is not empty")
        given = [name for name in ("password", "password_env", "password_file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise OptionError(
                f"PasswordAuth({self.username!r}) needs exactly one of password_env, password_file and password, got "
                + (" and ".join(given) or "none")
            )
        if self.password_file is not None:
            object.__setattr__(self, "password_file", _absolute(self.password_file, "PasswordAuth(password_file"))
        elif not isinstance(getattr(self, given[0]), str) or not getattr(self, given[0]):
            raise OptionError(f"PasswordAuth({given[0]}=...): {given[0]} must be a text that is not empty")

    def __getstate__(self) -> dict[str, Any]:
        if self.password is not None:
            raise OptionError(
                f"the settings of user {self.username!r} hold a password in the clear and cannot be sent to another "
                "process; pass PasswordAuth(password_env=...) or PasswordAuth(password_file=...) instead"
            )
        return dict(self.__dict__)

    def __copy__(self) -> "PasswordAuth":
        return self  # Immutable, so a copy is the thing itself; __getstate__ is for other processes only.

    def __deepcopy__(self, memo: dict) -> "PasswordAuth":
        return self

    def source(self) -> str:
        """Where the password comes from, for messages: never the password."""
        if self.password_env is not None:
            return f"the environment variable {self.password_env}"
        if self.password_file is not None:
            return f"the file {self.password_file}"
        return "PasswordAuth(password=...)"

    def resolve(self) -> str:
        """The password.

        Raises:
          OptionError: The environment variable is not set, or the file cannot be read, or either is empty.
        """
        if self.password is not None:
            return self.password
        if self.password_env is not None:
            password = os.environ.get(self.password_env)
            fault = "is not set" if password is None else "is empty"
            fix = f"export {self.password_env} in the process that connects"
        else:
            password, fault = _read_password(self.password_file)
            fix = "write the password into it"
        if not password:
            raise OptionError(f"the password of user {self.username!r} is missing: {self.source()} {fault}; {fix}")
        return password

    def _reference(self) -> str:
        """What stands for the password in a graph: the op finds it when it connects."""
        if self.password_env is not None:
            return f"env:{self.password_env}"
        if self.password_file is not None:
            return f"file:{self.password_file}"
        from tfcass._secrets import register  # Loads TensorFlow.

        return f"process:{register(self.password)}"


@dataclasses.dataclass(frozen=True)
class Tls:
    """TLS towards every node.

    Attributes:
      ca: PEM file of the authorities that sign the nodes' certificates; None means those that the system trusts.
      cert: PEM file of this client's certificate, when the server asks for one.
      key: PEM file of its private key, not encrypted; may be the same file as `cert`.
      verify_hostname: Whether a node's certificate must name the IP address at which the node is reached. False still
        verifies who signed it.
    Raises:
      OptionError: A file is absent, not PEM, or does not fit its pair.
    """

    ca: str | os.PathLike | None = None
    cert: str | os.PathLike | None = None
    key: str | os.PathLike | None = None
    verify_hostname: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.verify_hostname, bool):
            raise OptionError(f"Tls(verify_hostname={self.verify_hostname!r}): verify_hostname must be True or False")
        for name in ("ca", "cert", "key"):
            if getattr(self, name) is not None:
                path = _absolute(getattr(self, name), f"Tls({name}")
                object.__setattr__(self, name, path)
                try:
                    with open(path, "rb"):
                        pass
                except OSError as error:
                    raise OptionError(f"Tls({name}={path!r}) cannot be read: {error.strerror}") from None
        if (self.cert is None) != (self.key is None):
            raise OptionError(f"Tls(cert={self.cert!r}, key={self.key!r}): pass both or none; one file may hold both")
        self.context()

    def context(self) -> ssl.SSLContext:
        """A client context with these settings, made anew from the files.

        Raises:
          OptionError: A file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.verify_hostname
        if self.ca is None:
            context.load_default_certs()
        else:
            try:
                context.load_verify_locations(self.ca)
            except OSError:  # Covers ssl.SSLError.
                raise OptionError(
                    f"Tls(ca={self.ca!r}): the file holds no readable certificate (-----BEGIN CERTIFICATE-----)"
                ) from None
        if self.cert is not None:
            pair = f"Tls(cert={self.cert!r}, key={self.key!r})"
            try:
                context.load_cert_chain(self.cert, self.key, password=_refuse_encrypted_key)
            except _EncryptedKey:
                raise OptionError(f"{pair}: the key is encrypted; decrypt it into a file only you can read") from None
            except OSError as error:
                reason = getattr(error, "reason", None) or "not PEM"
                raise OptionError(f"{pair}: not a PEM certificate with its private key ({reason})") from None
        return context

    def _ca_file(self) -> str:
        """The trusted authorities as one file: the C driver, unlike Python's ssl, has no default of its own."""
        if self.ca is not None:
            return self.ca
        usual = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")  # Debian's; Red Hat's.
        for path in (ssl.get_default_verify_paths().cafile, *usual):
            if path and os.path.isfile(path):
                return path
        raise OptionError("Tls(ca=None): this system has no file of trusted authorities; pass Tls(ca='ca.pem')")


def _read_password(path: str) -> tuple[str | None, str]:
    """(password, "") or (None or "", what is wrong with the file)."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        return None, "is not UTF-8 text"
    return text.removesuffix("\n").removesuffix("\r"), "is empty"


def _absolute(path: object, where: str) -> str:
    """A path that means the same file wherever this process, or one that it starts, happens to be."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise OptionError(f"{where}={path!r}): must be the path of a file")
    return os.path.abspath(os.path.expanduser(os.fspath(path)))


class _EncryptedKey(Exception):
    """Raised inside load_cert_chain instead of its prompt for a passphrase on the terminal."""


def _refuse_encrypted_key() -> str:
    raise _EncryptedKey
