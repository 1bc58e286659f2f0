"""Asks one address whether Cassandra answers there, and if not, why: before the driver tries, and with clearer words.

The question is the CQL protocol's OPTIONS, which every server answers without credentials, over TCP or TLS. What goes
wrong is known exactly here (a refused connection, the certificate's fault), where the driver tells of a closed
connection or a timeout.

Source: Cassandra's doc/native_protocol_v4.spec, sections 2 (header), 4.1.3 (OPTIONS) and 4.2.4 (SUPPORTED).
"""

import dataclasses
import socket
import ssl
import time

from tfcass._security import Tls
from tfcass.errors import ClusterError, TlsError

# Version 4, no flags, stream 0, opcode OPTIONS, length 0. A server that knows other versions answers ERROR.
_OPTIONS = b"\x04\x00\x00\x00\x05\x00\x00\x00\x00"
_HEADER_BYTES = 9
_RESPONSE = 0x80  # Set in the first byte of a server's frames.
_OPCODES = (0x00, 0x06)  # ERROR, SUPPORTED

# OpenSSL's X509_V_ERR_*: what the ssl module reports as verify_code.
_HOSTNAME_MISMATCH = (62, 64)
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_TIME = {9: "is not valid yet", 10: "has expired"}


def probe(host: str, port: int, *, tls: Tls | None, timeout_s: float) -> str:
    """Returns the IP address at which a Cassandra server answers for `host`.

    Raises:
      ClusterError: None answers at any of the host's addresses within `timeout_s`.
      TlsError: One answers, and the handshake fails or one side speaks TLS and the other does not.
    """
    deadline = time.monotonic() + timeout_s
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # The latter: no host name could be spelt like this.
        reason = getattr(error, "strerror", None) or str(error)
        raise ClusterError(
            f"the host name {host!r} is unknown ({reason}); check the contact points for typing mistakes"
        ) from None
    failure: ClusterError | None = None
    for address in dict.fromkeys(entry[4][0] for entry in found):
        try:
            _ask(address, port, tls, deadline)
        except ClusterError as error:
            # Of several addresses (::1 and 127.0.0.1, say), one that answers tells more than one that does not.
            if failure is None or isinstance(error, TlsError):
                failure = error
        else:
            return address
    assert failure is not None  # getaddrinfo returns at least one address.
    raise failure


def _ask(address: str, port: int, tls: Tls | None, deadline: float) -> None:
    where = f"{address}:{port}"
    try:
        answer = _exchange(address, port, None if tls is None else tls.context(), deadline)
    except ssl.SSLError as error:
        raise _tls_error(error, address, port, tls, deadline) from None
    except ConnectionRefusedError:
        raise ClusterError(
            f"cannot reach Cassandra at {where}: connection refused; "
            f"is it running (`tfcass dev status`), and is {port} its CQL port?"
        ) from None
    except TimeoutError:
        answer = None
    except OSError as error:
        raise ClusterError(f"cannot reach Cassandra at {where}: {error.strerror or error}; check the address") from None
    if answer is not None and len(answer) == _HEADER_BYTES and answer[0] & _RESPONSE and answer[4] in _OPCODES:
        return
    if tls is None and _speaks_tls(address, port, deadline):
        raise TlsError(
            f"the server at {where} speaks TLS, and no TLS settings were given; "
            "pass Cluster(..., tls=tfcass.Tls(ca='ca.pem'))"
        )
    if tls is not None and answer == b"":
        raise TlsError(
            f"the server at {where} closed the connection after the TLS handshake; "
            "does it want a client certificate (Tls(cert=..., key=...))?"
        )
    if answer is None:
        raise ClusterError(
            f"no answer from {where} in time; is Cassandra up there (`nodetool status`), is the address right, "
            f"and does a firewall let port {port} through? A slow link may want a larger connect_timeout_s"
        )
    raise ClusterError(
        f"what answers at {where} is not Cassandra's CQL; check the port (CQL is 9042 unless configured otherwise)"
    )


def _exchange(address: str, port: int, context: ssl.SSLContext | None, deadline: float) -> bytes:
    """The first bytes, at most a header, of the answer to OPTIONS; none if the server closes the connection."""
    with socket.create_connection((address, port), timeout=_remaining(deadline)) as plain:
        plain.settimeout(_remaining(deadline))
        stream = plain if context is None else context.wrap_socket(plain, server_hostname=address)
        with stream:
            answer = b""
            try:
                stream.sendall(_OPTIONS)
                while len(answer) < _HEADER_BYTES:
                    stream.settimeout(_remaining(deadline))
                    received = stream.recv(_HEADER_BYTES - len(answer))
                    if not received:
                        break
                    answer += received
            except (ssl.SSLEOFError, ConnectionError):  # Closed as well, if less politely.
                pass
            return answer


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _speaks_tls(address: str, port: int, deadline: float) -> bool:
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE  # Asks only whether TLS is spoken: nothing is sent over it.
    # A plain listener may sit silent on a handshake, so that the time left after a timeout is no guide.
    grace = max(deadline, time.monotonic() + 1.0)
    try:
        with socket.create_connection((address, port), timeout=_remaining(grace)) as plain:
            plain.settimeout(min(_remaining(grace), 2.0))
            unverified.wrap_socket(plain).close()
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # An alert is TLS too.
    except OSError:
        return False
    return True


def _tls_error(error: ssl.SSLError, address: str, port: int, tls: Tls, deadline: float) -> ClusterError:
    where = f"{address}:{port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _HOSTNAME_MISMATCH:
            names = _certificate_names(address, port, tls, deadline)
            return TlsError(
                f"the certificate of {where} is not for {address}{names}; reach the node at an address that it names, "
                "issue one that lists this address, or pass Tls(verify_hostname=False)"
            )
        if error.verify_code in _UNKNOWN_AUTHORITY:
            return TlsError(
                f"the certificate of {where} is signed by an authority that is not trusted ({error.verify_message}); "
                "pass the authority's certificate: Tls(ca='ca.pem')"
            )
        fault = _TIME.get(error.verify_code, f"is refused ({error.verify_message})")
        return TlsError(
            f"the certificate of {where} {fault}; give the node another one (and check this machine's clock)"
        )
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "ALERT" in (error.reason or ""):
        return TlsError(
            f"the server at {where} refused the TLS handshake ({reason}); "
            "if it wants a client certificate, pass Tls(cert='client.pem', key='client.key')"
        )
    try:
        _ask(address, port, None, max(deadline, time.monotonic() + 1.0))
    except ClusterError:
        return TlsError(
            f"the TLS handshake with {where} failed ({reason}); is this Cassandra's CQL port, with TLS enabled?"
        )
    return TlsError(
        f"the server at {where} speaks no TLS on this port, and TLS settings were given; "
        "enable client_encryption_options there, use its TLS port, or leave tls out"
    )


def _certificate_names(address: str, port: int, tls: Tls, deadline: float) -> str:
    """`, but for 10.0.0.1, node1`, as far as the certificate tells; who signed it is still verified."""
    lenient = dataclasses.replace(tls, verify_hostname=False).context()
    try:
        with socket.create_connection((address, port), timeout=_remaining(deadline)) as plain:
            with lenient.wrap_socket(plain) as stream:
                names = [value for _, value in stream.getpeercert().get("subjectAltName", ())]
    except OSError:
        return ""
    return f", but for {', '.join(names)}" if names else " (it lists no names at all)"
