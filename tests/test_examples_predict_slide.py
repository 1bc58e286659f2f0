"""examples/predict_slide.py on a real server and a real slide: table, heatmap, GeoJSON, one line for each mistake."""

import json
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfcass
from tests.support.examples import FOLDER, address, error_of_example, load_example, run_example
from tests.support.horovod_processes import run_alone
from tests.support.predicted_slides import (
    GRID,
    SIDE_L0,
    is_tumor,
    save_model,
    write_patches_of_slide,
    write_scanned_part,
    write_slide,
)
from tfcass import prediction
from tfcass.errors import OptionError, SchemaError

pytestmark = [pytest.mark.timeout(300), pytest.mark.slides]

EXAMPLE = load_example("predict_slide")
SLIDE = "P07_2.tif"


@pytest.fixture(scope="module")
def slide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slide(tmp_path_factory.mktemp("slides") / SLIDE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "colours.keras")


@pytest.fixture(scope="module")
def stored(cassandra: tfcass.Cluster, shared_keyspace: str) -> tuple[str, dict[uuid.UUID, tuple[int, int]]]:
    """A keyspace with the slide's patches; tests add a table of predictions to it, and other slides."""
    return shared_keyspace, write_patches_of_slide(cassandra, shared_keyspace, SLIDE)


@pytest.fixture
def flags(cassandra: tfcass.Cluster, stored, model: Path, tmp_path: Path) -> list[object]:
    return [*address(cassandra, stored[0]), "--model", model, "--out", tmp_path / "out"]


def test_every_patch_of_the_slide_is_in_table_picture_and_geojson(
    flags, stored, slide_file: Path, cassandra: tfcass.Cluster, tmp_path: Path, capsys
) -> None:
    keyspace, places = stored

    run_example(EXAMPLE, [*flags, "--slide", slide_file, "--max-size", 600])

    tumors = sum(is_tumor(*place) for place in places.values())
    assert f"{SLIDE}: {len(places)} patches, {tumors} of them tumor" in capsys.readouterr().out
    # The table: each patch once for each class, where it lies, and probabilities that sum to 1.
    rows = tfcass.read_rows(f"{keyspace}.predictions", cluster=cassandra, where={"slide": SLIDE})
    assert rows.num_rows == 2 * len(places)
    found = {}
    for row in rows.to_pylist():
        place = places[uuid.UUID(bytes=row["patch_id"])]
        assert (row["x"], row["y"], row["side"]) == (place[0] * SIDE_L0, place[1] * SIDE_L0, SIDE_L0)
        found.setdefault(place, {})[row["label"]] = row["probability"]
    for place, by_label in found.items():
        assert (by_label[1] > 0.9) if is_tumor(*place) else (by_label[1] < 0.1)
        assert sum(by_label.values()) == pytest.approx(1, abs=1e-5)
    assert set(rows["model"].to_pylist()) == {"colours.keras"}
    # The picture: the thumbnail's size and a legend; red where the tumour is, blue elsewhere, white without patches.
    picture = np.asarray(Image.open(tmp_path / "out" / f"{SLIDE}.heatmap.png")).astype(int)
    assert picture.shape[1] == 600 and 600 < picture.shape[0] < 680
    for c, r in np.ndindex(GRID, GRID):
        red, _, blue = picture[r * 100 + 50, c * 100 + 50]
        if r == GRID - 1:
            assert red == blue == 255
        else:
            assert (red > blue + 60) == is_tumor(c, r)
            assert (blue > red + 60) != is_tumor(c, r)
    # QuPath: a closed square a patch, by its UUID, with the class and both measurements.
    features = json.loads((tmp_path / "out" / f"{SLIDE}.geojson").read_text())["features"]
    assert {uuid.UUID(feature["id"]) for feature in features} == set(places)
    for feature in features:
        c, r = places[uuid.UUID(feature["id"])]
        ring = np.array(feature["geometry"]["coordinates"][0])
        assert ring[0].tolist() == ring[-1].tolist() == [c * SIDE_L0, r * SIDE_L0]
        assert ring.max(axis=0).tolist() == [(c + 1) * SIDE_L0, (r + 1) * SIDE_L0]
        properties = feature["properties"]
        assert properties["objectType"] == "tile"
        assert properties["classification"]["name"] == ("tumor" if is_tumor(c, r) else "normal")
        assert properties["measurements"]["Probability tumor"] == pytest.approx(found[c, r][1], abs=1e-4)


def test_the_command_draws_without_a_slide_file_and_writes_the_same_rows_again(
    flags, stored, cassandra: tfcass.Cluster, tmp_path: Path
) -> None:
    keyspace, places = stored
    again = [*flags, "--slide", SLIDE, "--model-name", "twice", "--least", 0.5]

    process = run_alone(FOLDER / "predict_slide.py", again, timeout_s=200)
    assert process.returncode == 0, process.stdout
    run_example(EXAMPLE, again)

    where = {"slide": SLIDE, "model": "twice"}
    assert tfcass.read_rows(f"{keyspace}.predictions", cluster=cassandra, where=where).num_rows == 2 * len(places)
    picture = np.asarray(Image.open(tmp_path / "out" / f"{SLIDE}.heatmap.png")).astype(int)
    assert max(picture.shape) <= 1250
    tumors = sum(is_tumor(*place) for place in places.values())
    assert len(json.loads((tmp_path / "out" / f"{SLIDE}.geojson").read_text())["features"]) == tumors


def test_of_a_mirax_slide_the_scanned_part_is_drawn_and_its_corner_may_be_the_origin(
    flags, stored, cassandra: tfcass.Cluster, tmp_path: Path, capsys
) -> None:
    corner = (5 * SIDE_L0, 8 * SIDE_L0)
    slide = write_scanned_part(tmp_path / "M.mrxs", corner)
    places = write_patches_of_slide(cassandra, stored[0], slide.name, corner_l0=corner, level=None)

    run_example(EXAMPLE, [*flags, "--slide", slide, "--frame", "bounds", "--max-size", 300, "--predictions", ""])

    features = json.loads((tmp_path / "out" / "M.mrxs.geojson").read_text())["features"]
    for feature in features:
        c, r = places[uuid.UUID(feature["id"])]
        ring = np.array(feature["geometry"]["coordinates"][0])
        assert ring.min(axis=0).tolist() == [c * SIDE_L0, r * SIDE_L0]
        assert ring.max(axis=0).tolist() == [(c + 1) * SIDE_L0, (r + 1) * SIDE_L0]
    picture = np.asarray(Image.open(tmp_path / "out" / "M.mrxs.heatmap.png")).astype(int)
    assert picture.shape[1] == 300
    for c, r in np.ndindex(GRID, GRID - 1):
        red, _, blue = picture[r * 50 + 25, c * 50 + 25]
        assert (red > blue + 40) == is_tumor(c, r)

    run_example(EXAMPLE, [*flags, "--slide", slide, "--predictions", ""])

    features = json.loads((tmp_path / "out" / "M.mrxs.geojson").read_text())["features"]
    assert min(feature["geometry"]["coordinates"][0][0] for feature in features) == list(corner)
    assert "for it, pass --frame bounds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--slide", "P07_3.tif"], "has no patch of slide 'P07_3.tif'; did you mean 'P07_2.tif'?"),
        (["--slide", "/nowhere/P07_2.tif"], "slide file '/nowhere/P07_2.tif' is not there"),
        (["--model", "/nowhere/a.keras"], "model '/nowhere/a.keras' is not there"),
        (["--classes", "a", "b", "c"], r"gives [None, 2], not [n, 3]: name all its classes, in their order"),
        (["--draw", "stroma"], "--draw stroma is not one of the classes: normal, tumor"),
        (["--activation", "relu"], "activation='relu' is not one of 'auto', 'softmax', 'sigmoid', 'none'"),
        (["--activation", "none"], "a probability is not in [0, 1]"),
        (["--frame", "bounds"], "does not say which part was scanned, so there is no frame='bounds'"),
        (["--predictions", "data_by_uuid"], "data_by_uuid is no table of predictions: it needs slide text"),
        (["--metadata-table", "metadata"], "has no table 'metadata'"),
    ],
)
def test_a_mistake_is_told_in_one_line(flags, change: list[str], message: str, capsys) -> None:
    assert message in error_of_example(EXAMPLE, [*flags, "--slide", SLIDE, *change], capsys)


def test_a_file_that_is_no_model_is_told_in_one_line(flags, tmp_path: Path, model: Path, capsys) -> None:
    broken = tmp_path / "broken.keras"
    for content in (b"", b"no model", model.read_bytes()[:4000]):
        broken.write_bytes(content)

        told = error_of_example(EXAMPLE, [*flags, "--slide", SLIDE, "--model", broken], capsys)

        assert f"model {str(broken)!r} cannot be read: " in told


def test_a_file_that_is_no_slide_is_told_in_one_line(flags, tmp_path: Path, capsys) -> None:
    (tmp_path / SLIDE).write_text("no slide")

    assert "holds text, not a slide" in error_of_example(EXAMPLE, [*flags, "--slide", tmp_path / SLIDE], capsys)


def test_a_patch_without_row_is_named(flags, stored, cassandra_session, capsys) -> None:
    keyspace, places = stored
    lost = next(iter(places))
    row = cassandra_session.execute(f"SELECT label, data FROM {keyspace}.data_by_uuid WHERE patch_id = {lost}").one()
    cassandra_session.execute(f"DELETE FROM {keyspace}.data_by_uuid WHERE patch_id = {lost}")
    try:
        assert f"no row {lost} in {keyspace}.data_by_uuid" in error_of_example(
            EXAMPLE, [*flags, "--slide", SLIDE], capsys
        )
    finally:
        cassandra_session.execute(
            f"INSERT INTO {keyspace}.data_by_uuid (patch_id, label, data) VALUES (%s, %s, %s)",
            (lost, row.label, row.data),
        )


# The library, without a server ---------------------------------------------------------------------------------------


def patches(**changes: object) -> prediction.SlidePatches:
    values = {
        "slide": "S.mrxs",
        "keys": np.arange(32, dtype=np.uint8).reshape(2, 16),
        "corners_l0": np.array([[70_000, 90_000], [70_512, 90_000]]),
        "side_l0": 512.0,
        "probabilities": np.array([[0.75, 0.25], [0.0, 1.0]], np.float32),
        "classes": ("normal", "tumor"),
    }
    return prediction.SlidePatches(**{**values, **changes})


def test_in_the_frame_of_the_scanned_part_its_corner_is_the_origin() -> None:
    found = prediction.to_geojson(patches(), frame="bounds", bounds_l0=(69_000, 88_000, 5_000, 5_000))

    corners = [feature["geometry"]["coordinates"][0][0] for feature in json.loads(found)["features"]]
    assert corners == [[1_000, 2_000], [1_512, 2_000]]


def test_probabilities_of_the_model_itself_are_taken_as_they_are(
    stored, cassandra: tfcass.Cluster, model: Path, tmp_path: Path
) -> None:
    keyspace, places = stored
    keys = tfcass.keys(places)
    ends_so = prediction.load_model(save_model(tmp_path / "softmax.keras", activation="softmax"))

    given = prediction.predict(ends_so, keys, table=f"{keyspace}.data_by_uuid", cluster=cassandra)
    made = prediction.predict(
        prediction.load_model(model), keys, table=f"{keyspace}.data_by_uuid", cluster=cassandra, batch_size=7
    )

    np.testing.assert_allclose(given, made, atol=1e-5)
    assert given.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: patches(corners_l0=np.zeros((3, 2))), OptionError, r"expected \[n, 16\], \[n, 2\] and \[n, 2\]"),
        (lambda: patches(classes=("a", "b", "c")), OptionError, r"and \[n, 3\] for classes a, b, c"),
        (lambda: patches(side_l0=0), OptionError, "side_l0=0 is not a positive"),
        (lambda: prediction.to_geojson(patches(), frame="slide"), OptionError, "frame='slide' is not one of 'level0'"),
        (lambda: prediction.to_geojson(patches(), least=2), OptionError, r"least=2 is not in \[0, 1\]"),
        (lambda: prediction.draw_heatmap(patches(), "b"), OptionError, "class 'b' is not one of 'normal', 'tumor'"),
        (
            lambda: prediction.draw_heatmap(patches(), "tumor", downsample=4),
            OptionError,
            "thumbnail and downsample go together",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_predictions_need_a_keyspace_that_is_there(cassandra: tfcass.Cluster) -> None:
    with pytest.raises(SchemaError, match="the cluster has no keyspace 'nowhere'"):
        prediction.write_predictions("nowhere.predictions", patches(), model="m", cluster=cassandra)
    with pytest.raises(OptionError, match="model='' must be a name"):
        prediction.write_predictions("nowhere.predictions", patches(), model="", cluster=cassandra)
