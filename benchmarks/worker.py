"""A side in a process of its own, so that its CPU time and memory are its own."""

import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from benchmarks.harness import BenchmarkError

_TIMEOUT_S = 300.0  # For one answer.


class Worker:
    """A fresh process that makes a reader once and lets it measure when asked.

        with Worker(readers.tfcass_reader, cluster=cluster, ...) as worker:
            (measured,) = worker.call(spans)

    Args:
      make: Called in the process with `settings`; returns a function whose calls yield answers. Importable by name.
    """

    def __init__(self, make: Callable[..., Callable[..., Iterator[Any]]], **settings: Any) -> None:
        context = multiprocessing.get_context("spawn")  # A fork would bring the parent's threads' locks along.
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, settings), daemon=True)
        self._process.start()
        theirs.close()
        self._receive()  # It is made.

    def stream(self, *args: Any) -> Iterator[Any]:
        """The answers to one call, each when it is there.

        Raises:
          BenchmarkError: The process failed; with its traceback.
        """
        self._pipe.send(args)
        while (answer := self._receive()) is not _END:
            yield answer

    def call(self, *args: Any) -> list[Any]:
        """All answers to one call."""
        return list(self.stream(*args))

    def close(self) -> None:
        self._pipe.close()  # The process ends when it sees that.
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _receive(self) -> Any:
        if not self._pipe.poll(_TIMEOUT_S):
            raise BenchmarkError(f"a worker gave no answer in {_TIMEOUT_S:g} s")
        try:
            kind, answer = self._pipe.recv()
        except EOFError:
            self._process.join(timeout=5)
            raise BenchmarkError(f"a worker died with exit code {self._process.exitcode}") from None
        if kind == "error":
            raise BenchmarkError(answer)
        return _END if kind == "end" else answer


_END = object()


def _serve(pipe: Any, make: Callable[..., Callable[..., Iterator[Any]]], settings: dict[str, Any]) -> None:
    try:
        answers = make(**settings)
        pipe.send(("answer", None))
        while True:
            for answer in answers(*pipe.recv()):
                pipe.send(("answer", answer))
            pipe.send(("end", None))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass  # The parent has what it wanted, or is gone.
    except BaseException:
        pipe.send(("error", traceback.format_exc()))
