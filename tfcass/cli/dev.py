"""`tfcass dev`: a real Cassandra on this machine, for development."""

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from tfcass.cli.progress import progress

if TYPE_CHECKING:
    import tfcass
    from tfcass.devcluster.cluster import NodeStatus

app = typer.Typer(
    no_args_is_help=True,
    help="A real Cassandra on 127.0.0.1 to 127.0.0.3, for development. Its files lie in TFCASS_HOME (~/.tfcass).",
)

_Node = Annotated[int, typer.Option("--node", help="Which node.")]
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command()
def up(
    nodes: Annotated[int, typer.Option(min=1, max=3, help="Number of nodes.")] = 1,
    auth: Annotated[bool, typer.Option("--auth", help="Ask for a password; makes the superuser tfcass.")] = False,
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt client connections, with an authority of its own.")
    ] = False,
    heap: Annotated[str, typer.Option(help="Java heap of each node: 512m, 1g, 2g.")] = "1g",
    port: Annotated[int, typer.Option(min=0, max=65535, help="CQL port; 0 takes a free one.")] = 9042,
) -> None:
    """Start the cluster and wait until it answers. Its data is that of the last time."""
    from tfcass.devcluster import DevCluster, Settings

    cluster = DevCluster()
    with progress() as tell:
        started = cluster.up(Settings(nodes=nodes, auth=auth, tls=tls, heap=heap, port=port), progress=tell)
    client = cluster.connect()
    where = ", ".join(f"{host}:{client.port}" for host in client.contact_points)
    print(f"Cassandra {'is up' if started else 'was up already'}: {where}\n\n{_snippet(client)}\n")
    print("Or, on this machine: from tfcass.devcluster import connect; cluster = connect()")
    print("Stop it with: tfcass dev down")


@app.command()
def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete its data, password and certificates too.")] = False,
) -> None:
    """Stop the cluster. Its data stays, unless wiped."""
    from tfcass.devcluster import DevCluster

    cluster = DevCluster()
    with progress() as tell:
        ran = cluster.down(wipe=wipe, progress=tell)
    print(f"{'stopped' if ran else 'was not running'}{', and its data is gone' if wipe else ''}")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the nodes. Exit status 0 if all answer, else 1."""
    from tfcass.devcluster import DevCluster, superuser, tls

    cluster = DevCluster()
    known = cluster.state()
    nodes = cluster.status()
    files = {}
    if known is not None and known.settings.auth:
        files["password of the user tfcass"] = superuser.password_file(cluster.home)
    if known is not None and known.settings.tls:
        files["authority to trust"] = tls.ca_file(cluster.home)
    if as_json:
        print(
            json.dumps(
                {
                    "home": str(cluster.home),
                    "port": known and known.cql_port,
                    "auth": bool(known and known.settings.auth),
                    "tls": bool(known and known.settings.tls),
                    "nodes": [_as_json(node) for node in nodes],
                },
                indent=2,
            )
        )
    elif known is None:
        print(f"no development cluster in {cluster.home}; start one with: tfcass dev up")
    else:
        for node in nodes:
            print(_line(node, known.cql_port))
        for what, file in files.items():
            print(f"{what}: {file}")
    if not nodes or any(node.state != "up" for node in nodes):
        raise typer.Exit(1)


@app.command(context_settings=_PASS_ON)
def nodetool(context: typer.Context, node: _Node = 1) -> None:
    """Run Cassandra's nodetool on a node: tfcass dev nodetool status."""
    from tfcass.devcluster import DevCluster, tools

    cluster = DevCluster()
    cluster.running()
    raise typer.Exit(_run(tools.nodetool(cluster.node(node), context.args)))


@app.command(context_settings=_PASS_ON)
def cqlsh(context: typer.Context, node: _Node = 1) -> None:
    """Open cqlsh, logged in: tfcass dev cqlsh, or tfcass dev cqlsh -e 'DESCRIBE KEYSPACES'."""
    from tfcass.devcluster import DevCluster, tools

    cluster = DevCluster()
    cluster.running()
    raise typer.Exit(_run(tools.cqlsh(cluster.node(node), context.args)))


@app.command()
def logs(
    node: _Node = 1,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of its last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the node stops, or Ctrl-C.")] = False,
) -> None:
    """Print the end of a node's log."""
    from tfcass.devcluster import DevCluster
    from tfcass.errors import DevClusterError

    chosen = DevCluster().node(node)
    try:
        with open(chosen.log, errors="replace") as stream:
            for line in stream.readlines()[-lines:] if lines else []:
                sys.stdout.write(line)
            stream.seek(0, 2)
            while follow:
                running = chosen.process() is not None
                sys.stdout.write(stream.read())
                sys.stdout.flush()
                if not running:
                    return
                time.sleep(0.2)
    except OSError as error:
        raise DevClusterError(f"cannot read the log of node {node}, {chosen.log}: {error.strerror}") from error


def _run(command: list[str]) -> int:
    """Runs a program on our terminal; Ctrl-C is its to handle, as cqlsh does."""
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _snippet(client: "tfcass.Cluster") -> str:
    """The Python that makes `client`."""
    arguments = [repr(list(client.contact_points)), f"port={client.port}", f"local_dc={client.local_dc!r}"]
    if client.auth is not None:
        arguments.append(
            f"auth=tfcass.PasswordAuth({client.auth.username!r}, password_file={client.auth.password_file!r})"
        )
    if client.tls is not None:
        arguments.append(f"tls=tfcass.Tls(ca={client.tls.ca!r})")
    return "    import tfcass\n    cluster = tfcass.Cluster(" + ",\n                             ".join(arguments) + ")"


def _line(node: "NodeStatus", port: int) -> str:
    process = "" if node.pid is None else f"  pid {node.pid}, {node.memory_bytes / 2**20:.0f} MiB"
    return f"node {node.number}  {node.host}:{port}  {node.state}{process}  log {node.log}"


def _as_json(node: "NodeStatus") -> dict[str, object]:
    return {
        "number": node.number,
        "host": node.host,
        "state": node.state,
        "pid": node.pid,
        "memory_bytes": node.memory_bytes,
        "log": str(node.log),
    }
