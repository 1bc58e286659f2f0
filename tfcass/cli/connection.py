"""The options that say which cluster a command works on, for any command: see `takes_cluster`."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import tfcass

_PANEL = "Cluster (default: the running development cluster, else 127.0.0.1:9042)"
_Host = Annotated[
    list[str] | None, typer.Option("--host", help="Address to connect to first; repeatable.", rich_help_panel=_PANEL)
]
_Port = Annotated[int | None, typer.Option("--port", help="CQL port. (default: 9042)", rich_help_panel=_PANEL)]
_LocalDc = Annotated[
    str | None, typer.Option("--local-dc", help="Datacenter to stay in. (default: the host's)", rich_help_panel=_PANEL)
]
_User = Annotated[str | None, typer.Option("--user", help="Role that logs in.", rich_help_panel=_PANEL)]
_PasswordEnv = Annotated[
    str | None, typer.Option("--password-env", help="Environment variable with its password.", rich_help_panel=_PANEL)
]
_PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", help="File with its password.", rich_help_panel=_PANEL)
]
_TlsCa = Annotated[
    Path | None,
    typer.Option("--tls-ca", help="Use TLS and trust the authority in this PEM file.", rich_help_panel=_PANEL),
]


def takes_cluster(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the connection options in place of its parameter `cluster`, a tfcass.Cluster."""
    own = [parameter for parameter in inspect.signature(command).parameters.values() if parameter.name != "cluster"]
    options = list(inspect.signature(chosen_cluster).parameters.values())
    names = [option.name for option in options]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> Any:
        cluster = chosen_cluster(**{name: arguments.pop(name) for name in names})
        return command(**arguments, cluster=cluster)

    wrapper.__signature__ = inspect.Signature([_keyword_only(parameter) for parameter in own + options])
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in own + options}
    return wrapper


def chosen_cluster(
    *,
    host: _Host = None,
    port: _Port = None,
    local_dc: _LocalDc = None,
    user: _User = None,
    password_env: _PasswordEnv = None,
    password_file: _PasswordFile = None,
    tls_ca: _TlsCa = None,
) -> "tfcass.Cluster":
    """The cluster that the options name; without any, the running development cluster, else 127.0.0.1:9042."""
    from tfcass.cluster import Cluster, Tls

    if not (host or port or local_dc or user or password_env or password_file or tls_ca):
        return _development_cluster() or Cluster(["127.0.0.1"])
    return Cluster(
        host or ["127.0.0.1"],
        port=9042 if port is None else port,
        local_dc=local_dc,
        auth=_auth(user, password_env, password_file),
        tls=Tls(ca=str(tls_ca)) if tls_ca else None,
    )


def _auth(user: str | None, password_env: str | None, password_file: Path | None) -> "tfcass.PasswordAuth | None":
    from tfcass.cluster import PasswordAuth

    if user is None:
        if password_env or password_file:
            raise typer.BadParameter("a password needs --user")
        return None
    if bool(password_env) == bool(password_file):
        raise typer.BadParameter("--user needs one of --password-env and --password-file")
    return PasswordAuth(user, password_env=password_env, password_file=password_file and str(password_file))


def _development_cluster() -> "tfcass.Cluster | None":
    try:
        from tfcass.devcluster import DevCluster
    except ModuleNotFoundError:  # Installed without what a development cluster needs.
        return None
    cluster = DevCluster()
    return cluster.connect() if cluster.runs() else None


def _keyword_only(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
