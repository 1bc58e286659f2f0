"""How the demo starts its training: examples/train_patches.py on Horovod processes of this machine."""

import re
import shutil
import sys
from pathlib import Path

from tfcass.errors import MissingExtraError, TfcassError

_RANK = re.compile(r"^\[\d+(,\d+)?\]<\w+>:")


def horovodrun(processes: int) -> list[str]:
    """The command line up to the program. Gloo over the loopback interface: nothing is reachable from outside.

    Raises:
      MissingExtraError: Horovod is not installed beside this Python.
    """
    beside = Path(sys.executable).with_name("horovodrun")
    program = str(beside) if beside.is_file() else shutil.which("horovodrun")
    if program is None:
        raise MissingExtraError("horovodrun is neither beside this Python nor on PATH; `make setup` builds Horovod")
    hosts = f"localhost:{processes}"
    return [program, "--gloo", "-np", str(processes), "-H", hosts, "--network-interface", "lo"]


def training_program() -> Path:
    """The training script, which is an example and part of a checkout, not of the package.

    Raises:
      TfcassError: this is an installed package without a checkout.
    """
    path = Path(__file__).parents[2] / "examples" / "train_patches.py"
    if not path.is_file():
        raise TfcassError(
            f"the demo trains with examples/train_patches.py, which is not in {str(path.parents[1])!r}; "
            "run it from a checkout of the sources: make demo"
        )
    return path


def of_a_rank(line: str) -> bool:
    """True for what the program itself printed, False for horovodrun's own lines."""
    return _RANK.match(line) is not None


def without_rank(line: str) -> str:
    """Takes the rank off: "[0]<stdout>:Epoch 2/6" becomes "Epoch 2/6"."""
    return _RANK.sub("", line)
