"""The configuration of one Cassandra process: cassandra.yaml, its neighbours, and the Java command."""

import dataclasses
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

from tfcass.devcluster import tls
from tfcass.devcluster.java import Java
from tfcass.devcluster.settings import DATACENTER, Settings

_LOGBACK = """<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"""

# What Cassandra 5 reaches into. Source: conf/jvm17-server.options of its distribution.
_EXPORTS = """
java.base/jdk.internal.misc java.base/java.lang.ref java.management.rmi/com.sun.jmx.remote.internal.rmi
java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.rmi/sun.rmi.transport.tcp java.sql/java.sql
jdk.unsupported/sun.misc
""".split()
_OPENS = """
java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref java.base/jdk.internal.reflect
java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.util.jar java.base/sun.nio.ch
java.base/java.io java.base/java.lang java.base/java.util java.base/java.nio java.base/java.util.concurrent
java.base/java.util.concurrent.atomic jdk.management/com.sun.management.internal
""".split()


@dataclasses.dataclass(frozen=True)
class NodeConfig:
    """All that one node's configuration depends on.

    Attributes:
      home: Folder of the cluster.
      folder: Folder of the node.
      number: 1 to settings.nodes.
      settings: Settings of the cluster.
      cql_port, storage_port, jmx_port: TCP ports.
    """

    home: Path
    folder: Path
    number: int
    settings: Settings
    cql_port: int
    storage_port: int
    jmx_port: int

    @property
    def host(self) -> str:
        return self.settings.hosts[self.number - 1]

    @property
    def scratch(self) -> Path:
        return self.folder / "tmp"

    @property
    def marker(self) -> str:
        """The argument by which the node's process is known."""
        return f"-Dcassandra.storagedir={self.folder}"


def write(config: NodeConfig) -> None:
    """Makes the node's folder and writes its configuration; cassandra.yaml as JSON, which is YAML too."""
    conf = config.folder / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    config.scratch.mkdir(exist_ok=True)
    (conf / "cassandra.yaml").write_text(json.dumps(cassandra_yaml(config), indent=2))
    (conf / "cassandra-rackdc.properties").write_text(f"dc={DATACENTER}\nrack=rack1\n")
    (conf / "logback.xml").write_text(_LOGBACK)


def cassandra_yaml(config: NodeConfig) -> dict[str, object]:
    """The node's cassandra.yaml, for a small machine that does other work too."""
    seed = f"{config.settings.hosts[0]}:{config.storage_port}"
    content: dict[str, object] = {
        "cluster_name": "tfcass",
        "num_tokens": 16,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "GossipingPropertyFileSnitch",
        "seed_provider": [
            {"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": [{"seeds": seed}]}
        ],
        "listen_address": config.host,
        "rpc_address": config.host,
        "storage_port": config.storage_port,
        "native_transport_port": config.cql_port,
        "data_file_directories": [str(config.folder / "data")],
        "commitlog_directory": str(config.folder / "commitlog"),
        "saved_caches_directory": str(config.folder / "saved_caches"),
        "hints_directory": str(config.folder / "hints"),
        "cdc_raw_directory": str(config.folder / "cdc_raw"),
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "10000ms",
        # A mutation may fill half a segment: rows of 16 MiB and somewhat more can be written.
        "commitlog_segment_size": "64MiB",
        "commitlog_total_space": "512MiB",
        "native_transport_max_frame_size": "64MiB",
        # The default is a fortieth of the heap for each client, less than one such row.
        "native_transport_max_request_data_in_flight": "256MiB",
        "native_transport_max_request_data_in_flight_per_ip": "256MiB",
        "memtable_heap_space": "64MiB",
        "memtable_offheap_space": "128MiB",
        "memtable_allocation_type": "offheap_objects",  # Blobs stay off the small heap.
        "file_cache_size": "128MiB",
        "concurrent_compactors": 1,
        "auto_snapshot": False,  # Dropped test keyspaces would pile up on disk.
        "write_request_timeout": "10s",  # A busy laptop pauses.
        "read_request_timeout": "10s",
    }
    if config.settings.advertise:
        content["broadcast_rpc_address"] = config.settings.advertise
    if config.settings.auth:
        content["authenticator"] = "PasswordAuthenticator"
        content["authorizer"] = "CassandraAuthorizer"
        content["role_manager"] = "CassandraRoleManager"
        content["credentials_validity"] = (
            "0ms"  # Else the default superuser, once disabled, could log in for two more seconds.
        )
    if config.settings.tls:
        content["client_encryption_options"] = {
            "enabled": True,
            "optional": False,
            "ssl_context_factory": {"class_name": "org.apache.cassandra.security.PEMBasedSslContextFactory"},
            "keystore": str(tls.node_file(config.home, config.number)),
            "truststore": str(tls.ca_file(config.home)),
            "accepted_protocols": ["TLSv1.3", "TLSv1.2"],
        }
    return content


def java_command(config: NodeConfig, java: Java, jars: Path) -> list[str]:
    """The command that runs the node."""
    return [
        *_without_memory_lock(),
        str(java.path),
        f"-Xms{config.settings.heap}",
        f"-Xmx{config.settings.heap}",
        "-XX:+UseG1GC",
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={config.folder / 'hs_err.log'}",
        *module_options(),
        f"-javaagent:{next(jars.glob('jamm-*.jar'))}",
        "-Djdk.attach.allowAttachSelf=true",
        "-Dio.netty.tryReflectionSetAccessible=true",
        "-Djava.awt.headless=true",
        *_scratch_options(config),
        config.marker,
        f"-Dcassandra.jmx.local.port={config.jmx_port}",
        "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-Dcassandra.ring_delay_ms=5000",  # With 1,000 a third node fails to reach its seed.
        "-Dcassandra.consistent.rangemovement=false",  # A start that was cut short can be repeated.
        "-Dcassandra.superuser_setup_delay_ms=500",
        f"-Dcassandra.system_auth.default_rf={config.settings.nodes}",
        "-Dcassandra.auth_bcrypt_gensalt_log2_rounds=4",  # The password is 24 random bytes; logins need not be slow.
        "-Dcassandra.shutdown_announce_in_ms=500",
        "-cp",
        f"{config.folder / 'conf'}:{jars}/*",
        "org.apache.cassandra.service.CassandraDaemon",
    ]


def _scratch_options(config: NodeConfig) -> list[str]:
    """Lets native libraries be unpacked in the node's folder, also where /tmp may not hold programs.

    Not in a folder with a space in its path: libffi cuts the path there, and crashes if that names a file.
    """
    scratch = str(config.scratch)
    return [] if " " in scratch else [f"-Djava.io.tmpdir={scratch}", f"-Djna.tmpdir={scratch}"]


@functools.cache
def _without_memory_lock() -> list[str]:
    """The words before a command that keep it from locking its memory, where they are needed and work.

    Cassandra locks all the memory of its process if it may, which root may: 450 MB more for each node, whether it uses
    them or not, on a machine that does other work too.
    """
    setpriv = shutil.which("setpriv") if os.geteuid() == 0 else None
    if setpriv is None:
        return []
    words = [setpriv, "--bounding-set=-ipc_lock"]
    works = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    return words if works else []


def module_options() -> list[str]:
    """The --add-exports and --add-opens of Cassandra and of nodetool."""
    exports = [word for name in _EXPORTS for word in ("--add-exports", f"{name}=ALL-UNNAMED")]
    return exports + [word for name in _OPENS for word in ("--add-opens", f"{name}=ALL-UNNAMED")]
