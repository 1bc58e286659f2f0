"""Opens control-plane sessions with cassandra-driver and turns its errors into ours, behind `Cluster.session()`."""

import logging
import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from tfcass._extras import missing_extra
from tfcass._probe import probe
from tfcass.errors import AuthenticationError, ClusterError, SchemaError, TfcassError, TlsError

if TYPE_CHECKING:
    from cassandra.cluster import Cluster as DriverCluster
    from cassandra.cluster import Session

    from tfcass.cluster import Cluster

_log = logging.getLogger("tfcass.cluster")

REQUEST_TIMEOUT_S = (
    30.0  # Deadline of one control-plane statement. DDL on a loaded cluster takes longer than the driver's 10 s.
)
_STRAGGLER_S = (
    0.2  # How long other contact points may still answer once one has: a dead one must not delay every connect.
)


@contextmanager
def open_session(settings: "Cluster") -> "Iterator[Session]":
    """See `Cluster.session`."""
    try:
        import cassandra.cluster  # noqa: F401  Here, so that an absent package is said before any network is touched.
    except ModuleNotFoundError as error:
        raise (missing_extra(error, wanted_by="tfcass.Cluster.session()") or error) from None
    password = settings.auth.resolve() if settings.auth is not None else None
    driver = _driver_cluster(settings, _answering_addresses(settings), password)
    try:
        with _quiet_driver():
            session = _connect(settings, driver)
        try:
            yield session
        except Exception as error:
            _raise_translated(error, settings)
    finally:
        with _quiet_driver():
            driver.shutdown()


def _answering_addresses(settings: "Cluster") -> list[str]:
    """IP addresses of the contact points that answer, in the order of the contact points: at least one."""
    answers: queue.SimpleQueue[tuple[int, str | TfcassError]] = queue.SimpleQueue()

    def ask(position: int, host: str) -> None:
        try:
            answers.put((position, probe(host, settings.port, tls=settings.tls, timeout_s=settings.connect_timeout_s)))
        except TfcassError as error:
            answers.put((position, error))

    for position, host in enumerate(settings.contact_points):
        # Daemons: a name server that never answers cannot be interrupted, and must not keep the process alive.
        threading.Thread(target=ask, args=(position, host), daemon=True, name=f"tfcass-probe-{host}").start()
    found: dict[int, str] = {}
    failures: dict[int, ClusterError] = {}
    deadline = time.monotonic() + settings.connect_timeout_s + 2.0  # A probe may take a little longer to find out why.
    while len(found) + len(failures) < len(settings.contact_points):
        try:
            position, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, ClusterError):
            failures[position] = answer
        elif isinstance(answer, TfcassError):
            raise answer  # A setting, such as a TLS file that is gone by now: no contact point will do.
        else:
            found[position] = answer
            deadline = min(deadline, time.monotonic() + _STRAGGLER_S)
    if found:
        for error in failures.values():
            _log.warning("%s. Going on with the contact points that answer", error)
        return list(dict.fromkeys(found[position] for position in sorted(found)))
    raise _unreachable(settings, failures)


def _unreachable(settings: "Cluster", failures: dict[int, ClusterError]) -> ClusterError:
    for position, host in enumerate(settings.contact_points):
        silent = f"looking up the host name {host!r} takes longer than connect_timeout_s={settings.connect_timeout_s:g}"
        failures.setdefault(position, ClusterError(silent))
    ordered = [failures[position] for position in sorted(failures)]
    kind = next((type(error) for error in ordered if isinstance(error, TlsError)), ClusterError)
    texts = list(dict.fromkeys(str(error) for error in ordered))
    if len(texts) == 1:
        return kind(texts[0])
    return kind("no contact point can be used: " + " | ".join(texts))


def _driver_cluster(settings: "Cluster", addresses: list[str], password: str | None) -> "DriverCluster":
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy

    # An empty name lets the policy take the datacenter of the contact point that answers first.
    policy = TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.local_dc or ""))
    return Cluster(
        addresses,
        port=settings.port,
        auth_provider=PlainTextAuthProvider(settings.auth.username, password) if settings.auth is not None else None,
        ssl_context=settings.tls.context() if settings.tls is not None else None,
        connect_timeout=settings.connect_timeout_s,
        control_connection_timeout=settings.connect_timeout_s,
        execution_profiles={EXEC_PROFILE_DEFAULT: ExecutionProfile(policy, request_timeout=REQUEST_TIMEOUT_S)},
    )


def _connect(settings: "Cluster", driver: "DriverCluster") -> "Session":
    try:
        session = driver.connect()
    except Exception as error:
        # With an unknown local_dc every node counts as remote, and the driver says that no host is available.
        if (unknown := _unknown_dc(settings, driver)) is None:
            _raise_translated(error, settings)
    else:
        unknown = _unknown_dc(settings, driver)
    if unknown is not None:
        raise unknown
    if settings.local_dc is None:
        (chosen,) = {pool.host.datacenter for pool in session.get_pools()}  # Other datacenters get no connection.
        _log.info(
            "reads stay in the datacenter %r of the contact point that answered; pass local_dc to choose another",
            chosen,
        )
    return session


def _unknown_dc(settings: "Cluster", driver: "DriverCluster") -> ClusterError | None:
    found = sorted({host.datacenter for host in driver.metadata.all_hosts() if host.datacenter})
    if settings.local_dc is None or not found or settings.local_dc in found:
        return None
    names = ", ".join(repr(name) for name in found)
    return ClusterError(
        f"local_dc={settings.local_dc!r} is not a datacenter of this cluster (it has: {names}; case matters)"
    )


def _raise_translated(error: Exception, settings: "Cluster") -> NoReturn:
    translated = _translated(error, settings)
    if translated is error:
        raise error
    _log.debug("the driver's own error", exc_info=error)
    raise translated from None


def _translated(error: Exception, settings: "Cluster") -> Exception:
    """Our error for what the driver raises when the cluster cannot be used; anything else comes back as it is."""
    from cassandra import AuthenticationFailed, InvalidRequest, OperationTimedOut, Unauthorized
    from cassandra.cluster import NoHostAvailable

    if isinstance(error, TfcassError):
        return error
    causes = (
        list(error.errors.values()) if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict) else []
    )
    for cause in [error, *causes]:
        if isinstance(cause, AuthenticationFailed):
            return _refused_login(cause, settings)
    if isinstance(error, Unauthorized):
        return ClusterError(
            f"the server forbids this to {_who(settings)}: {server_message(error)}; GRANT what is missing"
        )
    if isinstance(error, InvalidRequest):  # A table that was dropped, or is still being made, since it was described.
        return SchemaError(f"the server refused a statement: {server_message(error)}; was the table changed meanwhile?")
    where = ", ".join(f"{point}:{settings.port}" for point in settings.contact_points)
    if isinstance(error, OperationTimedOut):
        return ClusterError(
            f"the cluster at {where} did not answer in time ({error.errors or error}); is it overloaded? "
            "Look at `nodetool tpstats`"
        )
    if isinstance(error, NoHostAvailable):
        reasons = (
            "; ".join(dict.fromkeys(f"{host}: {cause}" for host, cause in error.errors.items()))
            if causes
            else str(error)
        )
        return ClusterError(f"no node of the cluster at {where} can serve this ({reasons}); look at `nodetool status`")
    return error


def _refused_login(error: Exception, settings: "Cluster") -> AuthenticationError:
    where = f"{settings.contact_points[0]}:{settings.port}"
    if settings.auth is None:
        return AuthenticationError(
            f"the cluster at {where} wants a user and password, and none were given; "
            "pass Cluster(..., auth=tfcass.PasswordAuth('user', password_env='CASS_PW'))"
        )
    return AuthenticationError(
        f"the cluster at {where} refused {_who(settings)}: {server_message(error)}; "
        f"check the user name, and the password in {settings.auth.source()}"
    )


def _who(settings: "Cluster") -> str:
    return f"user {settings.auth.username!r}" if settings.auth is not None else "the anonymous user"


def server_message(error: Exception) -> str:
    """The server's own words, out of the driver's `Error from server: code=0100 [Bad credentials] message="..."`."""
    quoted = re.search(r'message="(.*)"', str(error), re.DOTALL)
    return quoted.group(1) if quoted else str(error)


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_saved_level = logging.NOTSET


@contextmanager
def _quiet_driver() -> Iterator[None]:
    """Keeps the driver's log still while it connects or closes: it prints tracebacks of what is one sentence here.

    Left alone when the user has set a level for the logger "cassandra", which asks for its messages.
    """
    global _quiet_depth, _quiet_saved_level
    logger = logging.getLogger("cassandra")
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_saved_level = logger.level
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.CRITICAL + 1)
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                logger.setLevel(_quiet_saved_level)
