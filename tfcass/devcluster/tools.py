"""The command lines of Cassandra's own tools against a node of a development cluster."""

import configparser
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tfcass.devcluster import superuser, tls
from tfcass.devcluster.config import module_options
from tfcass.devcluster.jars import ensure_jars
from tfcass.devcluster.java import find_java
from tfcass.devcluster.node import Node
from tfcass.errors import DevClusterError


def nodetool(node: Node, arguments: Sequence[str]) -> list[str]:
    """The command that runs nodetool on that node."""
    jars = ensure_jars()
    return [
        str(find_java().path),
        "-Xmx128m",
        *module_options(),
        f"-Dcassandra.storagedir={node.config.folder}",
        "-cp",
        f"{node.config.folder / 'conf'}:{jars}/*",
        "org.apache.cassandra.tools.NodeTool",
        "-h",
        "127.0.0.1",  # JMX listens there for every node, each on its own port.
        "-p",
        str(node.config.jmx_port),
        *arguments,
    ]


def cqlsh(node: Node, arguments: Sequence[str]) -> list[str]:
    """The command that runs cqlsh on that node; writes the files that tell it the password and the authority.

    Raises:
      DevClusterError: cqlsh is not installed, or there is no room for its settings.
    """
    program = shutil.which(
        "cqlsh", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    )
    if program is None:
        raise DevClusterError("cqlsh is not installed; `pip install cqlsh` brings it")
    home = node.config.home
    command = [program]
    if node.config.settings.auth:
        command += ["--credentials", str(_credentials(home))]
    if node.config.settings.tls:
        command += ["--ssl", "--cqlshrc", str(_cqlshrc(home))]
    return [*command, *arguments, node.config.host, str(node.config.cql_port)]


def _credentials(home: Path) -> Path:
    password = superuser.password_file(home).read_text().strip()
    content = {"PlainTextAuthProvider": {"username": superuser.USERNAME, "password": password}}
    return _write(home / "cqlsh-credentials", content)


def _cqlshrc(home: Path) -> Path:
    return _write(home / "cqlshrc", {"ssl": {"certfile": str(tls.ca_file(home)), "validate": "true"}})


def _write(file: Path, content: dict[str, dict[str, str]]) -> Path:
    parser = configparser.RawConfigParser()
    parser.read_dict(content)
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            parser.write(stream)
    except OSError as error:
        raise DevClusterError(f"cannot write {file}: {error.strerror}; make room, or check its permissions") from error
    return file
