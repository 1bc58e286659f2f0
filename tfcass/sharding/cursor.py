"""Where a run is in its plan: all that has to be saved to go on exactly there."""

import dataclasses
import json

from tfcass.errors import SplitError
from tfcass.sharding.checks import check_count, check_order

_FORMAT = "tfcass cursor 1"


@dataclasses.dataclass(frozen=True)
class Cursor:
    """A position in the order of an epoch. Nothing in it belongs to a rank: any number of them can go on from it.

    Made by Plan.cursor and Part.after.

    Attributes:
      plan_digest: Plan.digest of the plan that is read.
      seed: The plan's seed.
      epoch: Non-negative.
      samples: Positions of this epoch's order that all ranks together have consumed. Rows that failed or were given
        weight 0 count too: a position is consumed whatever became of its row.
    Raises:
      OptionError: A number is negative or no integer.
    """

    plan_digest: str
    seed: int
    epoch: int
    samples: int

    def __post_init__(self) -> None:
        check_order(epoch=self.epoch, seed=self.seed)
        check_count("samples", self.samples, least=0)

    def to_json(self) -> str:
        """One line of text, for checkpoints and logs."""
        return json.dumps({"format": _FORMAT, **{name: _plain(value) for name, value in vars(self).items()}})

    @classmethod
    def from_json(cls, text: str) -> "Cursor":
        """Reads what to_json() wrote.

        Raises:
          SplitError: `text` is no cursor.
        """
        try:
            values = json.loads(text)
            if values.pop("format") != _FORMAT or not isinstance(values["plan_digest"], str):
                raise ValueError("of another format")
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            shown = text if len(str(text)) <= 80 else f"{text[:80]}..."
            raise SplitError(
                f"{shown!r} is not the cursor of a run ({error}); pass what Cursor.to_json() gave"
            ) from error


def _plain(value: object) -> object:
    return value if isinstance(value, str) else int(value)  # numpy's integers are not JSON's.
