"""Runs stages in order, skips what is done, and remembers how long each took. Knows nothing of slides or Cassandra."""

import datetime
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs

from tfcass.demo.state import Record, State


@attrs.frozen
class Stage:
    """One step of the way.

    Attributes:
      name: Its key in state.json and the name of its log.
      title, purpose: Shown while it runs: a word, and half a sentence.
      inputs: The settings that decide its result; another value makes it run again. JSON values.
      outputs: Files it leaves behind; one that is gone makes it run again.
      action: Does it. Called with a function that shows a line of progress; returns what state.json keeps, among it
        "summary", one line for people.
      still_there: A look at what no file shows (rows in a database), with the record's result. Called only when the
        stage would be skipped while a later one must run.
      once: False for what must happen in every run that has anything to do (starting a server). Later stages do not
        depend on it.
    """

    name: str
    title: str
    purpose: str
    inputs: Mapping[str, Any]
    outputs: Sequence[Path]
    action: Callable[[Callable[[str], None]], Mapping[str, Any]]
    still_there: Callable[[Mapping[str, Any]], bool] = lambda result: True
    once: bool = True


class Display(Protocol):
    """Where progress is shown."""

    def started(self, stage: Stage) -> Callable[[str], None]:
        """Returns what shows a line of the running stage."""

    def finished(self, stage: Stage, record: Record) -> None: ...

    def skipped(self, stage: Stage, record: Record) -> None: ...

    def failed(self, stage: Stage) -> None: ...


@attrs.frozen
class Done:
    """A stage's record, and whether this run or an earlier one made it."""

    stage: Stage
    record: Record
    earlier: bool


def run_stages(stages: Sequence[Stage], state: State, display: Display) -> list[Done]:
    """Brings every stage to its end and returns their records, in order.

    A stage is skipped if its record has the same inputs, follows the current result of the stage before it, and its
    outputs exist. A stage that fails or is interrupted has no record, so that the next run starts there.
    """
    if all(_done(stage, state, after) for stage, after in _with_predecessors(stages, state)):
        for stage in stages:
            display.skipped(stage, state.get(stage.name))
        return [Done(stage, state.get(stage.name), True) for stage in stages]

    results = []
    after = ""
    for stage in stages:
        earlier = stage.once and _done(stage, state, after) and stage.still_there(state.get(stage.name).result)
        if earlier:
            display.skipped(stage, state.get(stage.name))
        else:
            _run(stage, state, after, display)
        record = state.get(stage.name)
        results.append(Done(stage, record, earlier))
        if stage.once:
            after = record.run_id
    return results


def _with_predecessors(stages: Sequence[Stage], state: State) -> list[tuple[Stage, str]]:
    pairs, after = [], ""
    for stage in stages:
        pairs.append((stage, after))
        record = state.get(stage.name)
        if stage.once and record is not None:
            after = record.run_id
    return pairs


def _done(stage: Stage, state: State, after: str) -> bool:
    record = state.get(stage.name)
    return (
        record is not None
        and record.inputs == _plain(stage.inputs)
        and (record.after == after or not stage.once)
        and all(path.exists() for path in stage.outputs)
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON gives them back: tuples become lists, and what JSON cannot hold fails now."""
    return json.loads(json.dumps(dict(values)))


def _run(stage: Stage, state: State, after: str, display: Display) -> None:
    state.drop(stage.name)
    show = display.started(stage)
    start = time.monotonic()
    try:
        result = _plain(stage.action(show))
    except BaseException:
        display.failed(stage)
        raise
    record = Record(
        run_id=uuid.uuid4().hex,
        after=after if stage.once else "",
        inputs=_plain(stage.inputs),
        seconds=round(time.monotonic() - start, 2),
        result=result,
        finished=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    )
    state.put(stage.name, record)
    display.finished(stage, record)
