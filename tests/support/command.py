"""The command `tfcass`, inside this process and as a program."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from tfcass.cli import app


def run(*arguments: str, **environment: str) -> Result:
    """Runs it here, with these environment variables set meanwhile."""
    return CliRunner().invoke(app, list(arguments), env=environment)


def program(*arguments: str, home: Path) -> subprocess.CompletedProcess:
    """Runs it as a program, with its development cluster in the folder `home`."""
    return subprocess.run(
        [sys.executable, "-m", "tfcass.cli", *arguments],
        env={**os.environ, "TFCASS_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
