"""`tfcass doctor`: is this machine, and the cluster, fit for tfcass?"""

import dataclasses
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tfcass.cli.connection import takes_cluster
from tfcass.cli.progress import progress

if TYPE_CHECKING:
    import tfcass
    from tfcass.cli.checks import Finding

_SIGNS = {"ok": ("✓", "green"), "absent": ("–", "yellow"), "broken": ("✗", "red")}


@takes_cluster
def doctor(
    context: typer.Context,
    cluster: "tfcass.Cluster",
    keyspace: Annotated[str | None, typer.Argument(help="Check the tables of this keyspace too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether this machine and the cluster are fit, and how to mend what is not.

    Exit status 1 if something is broken that tfcass needs.
    """
    from tfcass.cli.checks import checks

    named = any(value for name, value in context.params.items() if name not in ("keyspace", "as_json"))
    findings = []
    with progress() as tell, _silence():
        for check in checks(cluster, cluster_required=named or keyspace is not None, keyspace=keyspace):
            if sys.stderr.isatty():  # Elsewhere the findings say the same a moment later.
                tell(f"Looking at {check.name}")
            findings.append(check.run())
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    if any(finding.required and finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps from the screen what TensorFlow and Beam remark when they are imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _show(findings: "list[Finding]") -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        sign, colour = _SIGNS[finding.state]
        detail = finding.detail.replace("\n", "\n" + " " * (width + 4))
        console.print(Text.assemble((sign, colour), f" {finding.name:{width}}  {detail}"))
        if finding.fix:
            console.print(Text.assemble(f"  {'':{width}}  ", ("fix: ", "bold"), finding.fix))
    broken = [finding for finding in findings if finding.state == "broken"]
    needed = [finding for finding in broken if finding.required]
    if needed:
        console.print(f"\nNot fit: {', '.join(finding.name for finding in needed)}")
    elif broken:
        console.print(f"\nFit, but for: {', '.join(finding.name for finding in broken)}")
    else:
        console.print(
            "\nFit. What is marked – is absent, and only some need it." if _some_absent(findings) else "\nFit."
        )


def _some_absent(findings: "list[Finding]") -> bool:
    return any(finding.state == "absent" for finding in findings)
