"""What can be wrong with a slide, its annotations, or the disk that output goes to.

TfcassError
├── SlideError       a slide cannot be opened or read
├── AnnotationError  annotations cannot be used at all (single bad rows are listed, not raised)
└── OutputError      (OSError) a file cannot be written
"""

from __future__ import annotations

import os

from tfcass.errors import TfcassError


class SlideError(TfcassError):
    """A slide cannot be opened or read.

    Attributes:
      path: The slide's path, as given.
      reason: Why, in plain words.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(os.fspath(path), reason)  # Both in args: the error survives pickling between Beam workers.
        self.path = os.fspath(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"slide {self.path!r}: {self.reason}"


class AnnotationError(TfcassError):
    """The annotations as a whole cannot be used, for instance because of a bad class map."""


class OutputError(TfcassError, OSError):
    """A file cannot be written; the message names its path and the reason."""
