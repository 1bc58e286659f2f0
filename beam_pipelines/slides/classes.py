"""What the labels of annotation files mean: label in a file -> class -> integer, and which class covers which."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from beam_pipelines.slides.errors import AnnotationError

EXCLUDE = "exclude"  # In place of a class: the area belongs to no class, whatever else is drawn there.
NOT_ANNOTATED = 255  # In a label mask. Keras' losses take it as `ignore_class`.

CLASSES: Mapping[str, str] = MappingProxyType(
    {"normal": "normal", "benign": "normal", "tumor": "tumor", "tumour": "tumor", "cancer": "tumor"}
)
_ORDERS = ("class", "file")
_ANY = "*"
_CLASS_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class UnknownLabel(AnnotationError):
    """A label that the class map does not have; the message names the ones that come near."""


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """The classes, and the labels that lead to them.

    Attributes:
      labels: (class, integer that is stored for it), in painter's order: a later class is painted over an earlier one.
      names: (label in a file, class). Case and outer blanks do not count. EXCLUDE instead of a class cuts the area out
        of all classes; None leaves the region out without a word; the label "*" stands for every label not listed.
      order: "class": classes cover each other in the order of `labels`, EXCLUDE covers all. "file": what comes later in
        the annotations covers what came before, whatever its class.
      outside: Class of all that nobody drew, such as "normal" where only tumour is drawn; None: it has no class.
    Raises:
      AnnotationError: A field is outside what is accepted.
    """

    labels: tuple[tuple[str, int], ...] = (("normal", 0), ("tumor", 1))
    names: tuple[tuple[str, str | None], ...] = tuple(CLASSES.items())
    order: str = "class"
    outside: str | None = None

    def __post_init__(self) -> None:
        for field in ("labels", "names"):
            value = getattr(self, field)
            try:
                pairs = tuple(value.items()) if isinstance(value, Mapping) else tuple((k, v) for k, v in value)
            except (TypeError, ValueError):
                raise AnnotationError(f"{field}={value!r} is not a mapping") from None
            object.__setattr__(self, field, pairs)
        self._check_labels()
        self._check_names()
        if self.order not in _ORDERS:
            raise AnnotationError(f"order={self.order!r} of the class map is not one of {', '.join(_ORDERS)}")
        if self.outside is not None and self.outside not in self.class_names:
            raise AnnotationError(
                f"outside={self.outside!r} of the class map is not a class (has: {', '.join(self.class_names)})"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in painter's order."""
        return tuple(name for name, _ in self.labels)

    def label_of(self, name: str) -> int:
        """The integer of a class."""
        return dict(self.labels)[name]

    def class_of(self, labels: Sequence[str]) -> str | None:
        """Class of a region, EXCLUDE, or None when it is to be left out.

        Args:
          labels: What the file calls it, the most particular first; the first one that is known decides.
        Raises:
          UnknownLabel: none is known.
        """
        known = {label.strip().casefold(): name for label, name in self.names}
        for label in labels:
            if (folded := label.strip().casefold()) in known:
                return known[folded]
        if _ANY in known:
            return known[_ANY]
        raise UnknownLabel(_unknown(labels, known))

    @classmethod
    def from_mapping(cls, given: ClassMap | Mapping[str, str | None]) -> ClassMap:
        """A mapping of labels to "normal", "tumor", EXCLUDE or None, as a ClassMap; a ClassMap stays what it is."""
        return given if isinstance(given, ClassMap) else cls(names=tuple(given.items()))

    @classmethod
    def named(cls, name: str) -> ClassMap:
        """One of CLASS_MAPS.

        Raises:
          AnnotationError: there is none of this name.
        """
        if name not in CLASS_MAPS:
            raise AnnotationError(
                f"class map {name!r} is not known (has: {', '.join(CLASS_MAPS)}); or give a .json file"
            )
        return CLASS_MAPS[name]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ClassMap:
        """Reads a class map from JSON: an object with the fields of this class, "labels" and "names" as objects.

            {"labels": {"normal": 0, "tumor": 1}, "names": {"gleason 4": "tumor", "artefact": "exclude", "todo": null}}

        What is left out has its default; a class is a label for itself.

        Raises:
          AnnotationError: the file cannot be read, or says something that a class map cannot be.
        """
        where = f"class map {os.fspath(path)!r}"
        try:
            with open(path, encoding="utf-8-sig") as file:
                content = json.load(file)
        except OSError as error:
            raise AnnotationError(f"{where} cannot be read: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
            raise AnnotationError(f"{where} is not JSON: {error}") from None
        fields = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(content, dict) or not content:
            raise AnnotationError(f"{where} is not an object with some of {', '.join(fields)}")
        if unknown := sorted(set(content) - set(fields)):
            raise AnnotationError(f"{where} has {unknown[0]!r}, which is not one of {', '.join(fields)}")
        try:
            if "labels" in content and isinstance(content["labels"], Mapping):
                own = {name: name for name in content["labels"]}
                content["names"] = {**own, **content.get("names", {})}
            return cls(**content)
        except (AnnotationError, TypeError) as error:
            raise AnnotationError(f"{where}: {error}") from None

    def _check_labels(self) -> None:
        names, integers = [name for name, _ in self.labels], [integer for _, integer in self.labels]
        if not names:
            raise AnnotationError("the class map has no class; give labels such as {'normal': 0, 'tumor': 1}")
        for name, integer in self.labels:
            # A class is part of a column's and of a file's name.
            if not isinstance(name, str) or not _CLASS_NAME.fullmatch(name) or name == EXCLUDE:
                raise AnnotationError(f"class {name!r} is not a name of 1 to 32 lower-case letters, digits and _")
            if isinstance(integer, bool) or not isinstance(integer, int) or not 0 <= integer < NOT_ANNOTATED:
                raise AnnotationError(f"class {name!r} has the label {integer!r}: not a whole number in [0, 255)")
        if len(set(names)) < len(names) or len(set(integers)) < len(integers):
            raise AnnotationError(f"the class map has a class or label twice: {dict(self.labels)}")

    def _check_names(self) -> None:
        if bad := sorted({str(name) for _, name in self.names if name not in (*self.class_names, EXCLUDE, None)}):
            raise AnnotationError(
                f"the class map leads to {', '.join(bad)}; a label becomes {_listed(self.class_names)}, {EXCLUDE!r} "
                "or None"
            )
        if not all(isinstance(label, str) for label, _ in self.names):
            raise AnnotationError(f"the class map has a label that is no text: {dict(self.names)}")


def _unknown(labels: Sequence[str], known: Iterable[str]) -> str:
    shown = " or ".join(repr(label) for label in labels) or "None"
    near = [
        found
        for label in labels
        for found in difflib.get_close_matches(label.strip().casefold(), list(known), n=2, cutoff=0.6)
    ]
    hint = f"did you mean {_listed(dict.fromkeys(near))}? " if near else ""
    return f"label {shown} is not known to the class map; {hint}(known: {', '.join(sorted(known)) or 'nothing'})"


def _listed(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names)


DEFAULT_CLASSES = ClassMap()
CLASS_MAPS: Mapping[str, ClassMap] = MappingProxyType(
    {
        "prostate": DEFAULT_CLASSES,
        # CAMELYON16 and 17: only tumour is drawn, and _2 is cut out of it.
        "camelyon": ClassMap(
            names=(
                *CLASSES.items(),
                ("_0", "tumor"),
                ("_1", "tumor"),
                ("metastases", "tumor"),
                ("_2", EXCLUDE),
                ("exclusion", EXCLUDE),
            ),
            outside="normal",
        ),
    }
)
