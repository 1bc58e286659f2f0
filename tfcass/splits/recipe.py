"""What split() was asked and given, in values that JSON holds; saved with the splits."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tfcass.splits.labels import Labelling


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What splits were made of, and how.

    Attributes:
      key, label, group_by, ratios, balance, bags, max_patches, folds, seed, targets, cover, stratify, weight, absent,
        tolerance: As given to split(); classes and groups as text.
      where, include, exclude: As given to split(), in words; keys are counted.
      labelling: How classes come from columns.
      input_rows: Rows that were given.
      input_sha256: Digest of their keys, classes and groups.
      dropped: Reason ("where", "exclude", "include", "label_map", "labels") -> rows that took no part.
      left_out: Reason ("balance", "targets", "max_patches") -> split -> class -> rows of its groups that were not
        drawn; only reasons that apply. Of multi-label rows: split -> "rows" -> rows.
      supply: "class", and each column to cover or stratify by -> split -> value -> rows that the split's groups hold,
        or the sum of their weights.
      notes: What was asked and could not be had, in words.
      history: What was done to the splits since they were made, in words.
    """

    key: str
    label: str | tuple[str, ...]
    group_by: tuple[str, ...]
    ratios: Mapping[str, float]
    balance: str | Mapping[str, float] | None
    bags: Mapping[str, tuple[str, ...]]
    max_patches: int | Mapping[str, int] | None
    folds: int | None
    seed: int
    input_rows: int
    input_sha256: str
    dropped: Mapping[str, int]
    left_out: Mapping[str, Mapping[str, Mapping[str, int]]]
    labelling: Labelling
    where: str | None = None
    include: object = None
    exclude: object = None
    targets: object = None
    cover: tuple[str, ...] = ()
    stratify: tuple[str, ...] = ()
    weight: str | None = None
    absent: str = "error"
    tolerance: float | None = None
    supply: Mapping[str, Mapping[str, Mapping[str, float]]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    history: tuple[str, ...] = ()

    @property
    def capped(self) -> bool:
        """Whether rows of the groups were left out on purpose."""
        return self.balance is not None or self.targets is not None or self.max_patches is not None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> "Recipe":
        """From what JSON gives back of as_dict().

        Raises:
          KeyError, TypeError, AttributeError, ValueError: It is something else.
        """
        content = dict(content)
        labelling = dict(content["labelling"])
        labelling["columns"] = tuple(labelling["columns"])
        labelling["classes"] = tuple(labelling["classes"])
        if labelling["label_map"] is not None:
            labelling["label_map"] = tuple((value, cls) for value, cls in labelling["label_map"])
        if labelling["edges"] is not None:
            labelling["edges"] = tuple(labelling["edges"])
        content["labelling"] = Labelling(**labelling)
        content["bags"] = {name: tuple(groups) for name, groups in content["bags"].items()}
        for name in ("group_by", "cover", "stratify", "notes", "history"):
            content[name] = tuple(content[name])
        if not isinstance(content["label"], str):
            content["label"] = tuple(content["label"])
        return cls(**content)


def stated(value: object) -> object:
    """A setting in values that JSON holds: mappings with text as keys, lists of texts, keys counted."""
    if isinstance(value, Mapping):
        return {str(name): stated(of) for name, of in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 2:
        return {"keys": len(value)}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float):
        return value
    return [item if isinstance(item, int | float | str) else str(item) for item in value]
