"""That all ranks read the same plan, said before the first step."""

import json

from tfcass.errors import SplitError
from tfcass.sharding import Plan
from tfcass.training import ranks


def check_same_plan(plan: Plan, **settings: object) -> None:
    """Compares plan and seed over all ranks, in one exchange. Call it on all, before the first step.

        training.check_same_plan(plan, batch_size=64, remainder="drop")

    Args:
      plan: This rank's.
      settings: What else must be equal for the ranks' parts to fit together; values that JSON holds.
    Raises (on every rank):
      SplitError: Ranks differ; the message names ranks, digests and settings.
    """
    check_same({"plan": plan.digest, "seed": plan.seed, **settings})


def check_same(values: object) -> None:
    """The same for any values that JSON holds: a text, or a mapping whose differing entries are told alone."""
    given = [json.loads(text) for text in ranks.of_all(json.dumps(values))]
    if all(value == given[0] for value in given):
        return
    if all(isinstance(value, dict) for value in given):
        names = dict.fromkeys(name for value in given for name in value)
        told = [
            f"{name} is {_by_rank([value.get(name) for value in given])}"
            for name in names
            if any(value.get(name) != given[0].get(name) for value in given)
        ]
    else:
        told = [_by_rank(given)]
    raise SplitError(
        f"ranks train on different data: {'; '.join(told)}; give all the same splits, seed, sampling, leave_out and "
        "settings"
    )


def _by_rank(values: list[object]) -> str:
    """["a", "a", "b"] -> "'a' on ranks 0, 1 and 'b' on rank 2"."""
    ranks_of: dict[str, list[int]] = {}
    for rank, value in enumerate(values):
        shown = f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else repr(value)
        ranks_of.setdefault(shown, []).append(rank)
    return " and ".join(
        f"{shown} on rank{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
        for shown, numbers in ranks_of.items()
    )
