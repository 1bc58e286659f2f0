"""Class maps: what labels mean, and what a map may not say."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.slides.classes import CLASSES, DEFAULT_CLASSES, EXCLUDE, ClassMap, UnknownLabel
from beam_pipelines.slides.errors import AnnotationError


def _write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_first_label_that_is_known_decides_and_case_does_not_matter() -> None:
    classes = ClassMap(names={"Tumor: Necrosis": EXCLUDE, "tumor": "tumor", "TODO": None})

    assert classes.class_of(["tumor: necrosis", "Tumor", "necrosis"]) == EXCLUDE
    assert classes.class_of(["tumor: viable", " TUMOR ", "viable"]) == "tumor"
    assert classes.class_of(["todo"]) is None


def test_an_unknown_label_is_told_with_those_that_come_near() -> None:
    with pytest.raises(
        UnknownLabel, match=r"label 'Tumuor' is not known .*did you mean 'tumor' or 'tumour'\?.*known: benign"
    ):
        DEFAULT_CLASSES.class_of(["Tumuor"])
    with pytest.raises(UnknownLabel, match="label None is not known"):
        DEFAULT_CLASSES.class_of([])


def test_a_star_stands_for_all_other_labels() -> None:
    classes = ClassMap(names=(*CLASSES.items(), ("*", None)))
    assert (classes.class_of(["stroma"]), classes.class_of(["cancer"]), classes.class_of([])) == (None, "tumor", None)


def test_a_file_says_what_a_map_says(tmp_path: Path) -> None:
    content = {
        "labels": {"benign": 0, "g3": 3, "g4": 4},
        "names": {"Gleason 3": "g3", "fold": "exclude", "todo": None},
        "order": "file",
        "outside": "benign",
    }
    classes = ClassMap.load(_write(tmp_path / "c.json", content))

    assert classes.class_names == ("benign", "g3", "g4") and classes.label_of("g4") == 4
    assert [classes.class_of([label]) for label in ("gleason 3", "G4", "fold", "todo")] == ["g3", "g4", EXCLUDE, None]
    assert (classes.order, classes.outside) == ("file", "benign")


def test_maps_travel_to_workers_and_compare() -> None:
    classes = ClassMap.named("camelyon")
    assert pickle.loads(pickle.dumps(classes)) == classes and hash(classes) == hash(ClassMap.named("camelyon"))
    assert classes.class_of(["_0"]) == "tumor" and classes.class_of(["_2"]) == EXCLUDE and classes.outside == "normal"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "is not an object"),
        ({}, "is not an object with some of labels, names, order, outside"),
        ({"names": {"a": "stroma"}}, "the class map leads to stroma"),
        ({"classes": {}}, "has 'classes', which is not one of labels, names"),
        ({"labels": {}}, "has no class"),
        ({"labels": {"a": 0, "b": 0}}, "a class or label twice"),
        ({"labels": {"a": 255}}, "not a whole number in [0, 255)"),
        ({"labels": {"a": True}}, "not a whole number in [0, 255)"),
        ({"labels": {"Gleason 3": 1}}, "not a name of 1 to 32 lower-case letters"),
        ({"labels": {"exclude": 1}}, "not a name of 1 to 32 lower-case letters"),
        ({"labels": 3}, "labels=3 is not a mapping"),
        ({"order": "area"}, "order='area' of the class map is not one of class, file"),
        ({"outside": "glass"}, "outside='glass' of the class map is not a class (has: normal, tumor)"),
    ],
)
def test_a_map_that_cannot_be_is_told_with_its_file(content: Any, reason: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "c.json", content)
    with pytest.raises(AnnotationError) as caught:
        ClassMap.load(path)
    assert reason in str(caught.value) and str(path) in str(caught.value)


def test_a_file_that_is_absent_and_a_name_that_is_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"absent\.json' cannot be read"):
        ClassMap.load(tmp_path / "absent.json")
    with pytest.raises(AnnotationError, match="'kidney' is not known \\(has: prostate, camelyon\\)"):
        ClassMap.named("kidney")
