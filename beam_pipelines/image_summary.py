"""What an ingest_images run did, class by class: counts that add up, and everything that went wrong. No Beam."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beam_pipelines.image_list import ImageList

_NAMED = 5  # Dead letters in the complaints; all of them are in dead_letters.jsonl.


@dataclasses.dataclass(frozen=True)
class ClassOutcome:
    """One class.

    Attributes:
      name, label: The class.
      files: Its files; each is written, skipped, a copy or failed.
      written: Images that this run wrote to all tables.
      skipped: Images that all tables held before.
      copies: Files with the bytes of another one of the class.
      failed: Files with a dead letter.
      stored: Metadata rows of the class counted in the database afterwards; None in a dry run.
    """

    name: str
    label: int
    files: int
    written: int = 0
    skipped: int = 0
    copies: int = 0
    failed: int = 0
    stored: int | None = None

    @property
    def lost(self) -> int:
        """Files of which nothing is known, or rows that should be in the database and are not."""
        if self.stored is None:
            return 0
        unaccounted = abs(self.files - self.written - self.skipped - self.copies - self.failed)
        return unaccounted or max(0, self.written + self.skipped - self.stored)


@dataclasses.dataclass(frozen=True)
class ImageSummary:
    """A run.

    Attributes:
      classes: In the order of their labels.
      notes: What a user may want to know.
      dead_letters: Each file that failed: source, class_name, stage, error, attempts.
      seconds: Stage -> time it took.
      counters: Beam's metrics.
      dry_run: No image was opened and no database.
    """

    classes: tuple[ClassOutcome, ...]
    notes: tuple[str, ...]
    dead_letters: tuple[Mapping[str, Any], ...]
    seconds: Mapping[str, float]
    counters: Mapping[str, Any]
    dry_run: bool

    def total(self, name: str) -> int:
        """Sum of a field over the classes, as in total("written")."""
        return sum(getattr(outcome, name) or 0 for outcome in self.classes)

    def complaints(self) -> list[str]:
        """What keeps the run from being complete, a sentence each; empty when it is."""
        found = [
            f"{letter.get('source')}: {letter['stage']}: {letter['error']}" for letter in self.dead_letters[:_NAMED]
        ]
        if len(self.dead_letters) > _NAMED:
            found.append(f"and {len(self.dead_letters) - _NAMED:,} more files failed: see dead_letters.jsonl")
        found += [
            f"class {c.name}: {c.lost:,} images are unaccounted for; run it again" for c in self.classes if c.lost
        ]
        return found

    @property
    def exit_code(self) -> int:
        """0 when complete, 3 when something failed."""
        return 3 if self.complaints() else 0

    def as_dict(self) -> dict[str, Any]:
        """The content of summary.json."""
        totals = ("files", "written", "skipped", "copies", "failed", "stored")
        return {
            "complete": self.exit_code == 0,
            "dry_run": self.dry_run,
            "images": {name: self.total(name) for name in totals},
            "complaints": self.complaints(),
            "notes": list(self.notes),
            "classes": [dataclasses.asdict(outcome) for outcome in self.classes],
            "dead_letters": len(self.dead_letters),
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "counters": dict(self.counters),
        }


def summarise_images(
    images: ImageList,
    records: Iterable[Sequence[Any]],
    stored: Mapping[str, int] | None,
    *,
    seconds: Mapping[str, float],
    counters: Mapping[str, Any],
) -> ImageSummary:
    """Adds up what the pipeline told.

    Args:
      images: The input.
      records: See image_pipeline.Record.
      stored: Class -> metadata rows counted after the run; None in a dry run.
      seconds, counters: As in ImageSummary.
    """
    files = collections.Counter(file.class_name for file in images.files)
    sums: collections.Counter[tuple[str, str]] = collections.Counter()
    dead = []
    for kind, content in records:
        if kind == "dead":
            dead.append(content)
            sums["failed", content.get("class_name", "")] += 1
        else:
            class_name, count = content
            sums[kind, class_name] += count
    classes = tuple(
        ClassOutcome(
            name,
            label,
            files[name],
            **{kind: sums[kind, name] for kind in ("written", "skipped", "copies", "failed")},
            stored=None if stored is None else stored.get(name, 0),
        )
        for name, label in images.classes.items()
    )
    return ImageSummary(classes, images.notes, tuple(dead), seconds, counters, dry_run=stored is None)
