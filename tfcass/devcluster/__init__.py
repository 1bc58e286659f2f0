"""A real Cassandra on loopback for development, tests and the demo.

cluster.py    DevCluster: up, down, status, connect                start here
settings.py   what a cluster may be asked to be; where its folder lies
state.py      state.json and the lock on a cluster's folder
node.py       one node: its folder, its process, when it answers
process.py    processes that outlive us, known again by pid and start time
config.py     cassandra.yaml and the Java command of a node
ports.py      free ports, and who holds one that is not
superuser.py  the superuser of a cluster with passwords
tls.py        an authority of our own and a certificate per node
java.py       finds a Java that Cassandra runs on
jars.py       Cassandra itself, by Maven; `python -m tfcass.devcluster.jars`
tools.py      the command lines of nodetool and cqlsh
"""

from tfcass.devcluster.cluster import DevCluster, connect
from tfcass.devcluster.settings import Settings, default_home

__all__ = ["DevCluster", "Settings", "connect", "default_home"]
