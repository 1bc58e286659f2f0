"""Flags that all commands of the pipelines share: how the cluster is reached, and Beam's own."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from beam_pipelines.presets import add_settings_flag, beam_flags, with_settings
from tfcass.cluster import Cluster, PasswordAuth, Tls
from tfcass.errors import OptionError


class FlagParser(argparse.ArgumentParser):
    """argparse, with its complaints as our errors: one line, like any other wrong setting. A parser that has --help is
    a command's, and takes --config: settings from a YAML file."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if self.add_help:
            add_settings_flag(self)

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(with_settings(words, self) if self.add_help else words, namespace)

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; see --help")


def add_cluster_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --host and what goes with it; `cluster_of` reads them."""
    add = parser.add_argument
    add("--host", action="append", metavar="ADDRESS", help="contact point of the cluster; repeatable")
    add("--port", type=int, default=9042, help="(default: %(default)s)")
    add("--local-dc", metavar="NAME", help="datacenter to work in (default: that of the first host)")
    add("--user", help="user name; needs --password-env or --password-file")
    add("--password-env", metavar="NAME", help="environment variable that holds the password")
    add("--password-file", metavar="PATH", help="file that holds the password")
    add("--tls", action="store_true", help="encrypt, trusting the system's authorities unless --tls-ca is given")
    add("--tls-ca", metavar="PEM", help="authority to trust; turns TLS on")
    add("--tls-cert", metavar="PEM", help="client certificate; turns TLS on")
    add("--tls-key", metavar="PEM", help="its key")
    add("--tls-no-hostname-check", action="store_true", help="accept a certificate for another host name")


def cluster_of(flags: argparse.Namespace) -> Cluster | None:
    """The cluster that the flags name; None without --host.

    Raises:
      OptionError: The flags contradict each other.
    """
    if not flags.host:
        return None
    auth = None
    if flags.user is not None:
        auth = PasswordAuth(flags.user, password_env=flags.password_env, password_file=flags.password_file)
    elif flags.password_env is not None or flags.password_file is not None:
        raise OptionError("a password without --user; pass --user NAME")
    tls = None
    if flags.tls or flags.tls_ca or flags.tls_cert or flags.tls_key:
        tls = Tls(flags.tls_ca, flags.tls_cert, flags.tls_key, verify_hostname=not flags.tls_no_hostname_check)
    hosts = [host for value in flags.host for host in value.split(",") if host]
    return Cluster(hosts, port=flags.port, local_dc=flags.local_dc, auth=auth, tls=tls)


def refuse_unknown(flags: Sequence[str]) -> None:
    """Raises OptionError for a flag that no PipelineOptions declare: Beam drops those with a warning only."""
    if not flags:  # Beam takes a second to import.
        return
    beam = FlagParser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    beam_flags(beam)
    _, unknown = beam.parse_known_args(list(flags))
    if unknown:
        raise OptionError(f"unknown flag {unknown[0]!r}; see --help")
