"""Clusters that no machine of ours could be: several datacenters, and nodes that are wrong in one way all the time.

The client cannot learn here where rows lie (no schema tables), so it reads key by key, each from any node.
"""

import random
import uuid

import numpy as np
import pytest
import tensorflow as tf

import tfcass
from tests.support.epochs import Epoch, counted, meanwhile, truth, uuid_of, wait_until
from tests.support.fetch_rows import Patches
from tests.support.simulacron import simulacron
from tfcass import dataset as dataset_module
from tfcass import schema

TABLE = "played.data_by_uuid"
QUERY = 'SELECT "patch_id", "label", "data" FROM "played"."data_by_uuid" WHERE "patch_id" = ?'
ROWS = 24
PATIENT = {"max_in_flight": 8, "timeout_s": 30.0, "max_retries": 100}

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def simulator():
    with simulacron() as running:
        yield running


def played(cluster, **connect):
    """The rows that a cluster plays, as a table."""
    rng = random.Random(8)
    keys = tfcass.keys([uuid.UUID(int=rng.getrandbits(128), version=4) for _ in range(ROWS)])
    data = [rng.randbytes(row % 5) for row in range(ROWS)]
    patches = Patches(cluster.connect(**connect), "played", TABLE, keys, list(range(ROWS)), data)
    cluster.answer_rows(QUERY, "patch_id", truth(patches))
    return patches


def begin(patches, **options):
    """An epoch whose schema is known without asking: nothing plays it."""
    columns = {
        "patch_id": schema.Column("patch_id", "uuid", "uint8", None),
        "label": schema.Column("label", "int", "int32", None),
        "data": schema.Column("data", "blob", "string", None),
    }
    table = schema.TableSchema("played", "data_by_uuid", "patch_id", columns, ("patch_id",), ("patch_id",))
    options = tfcass.FetchOptions(**{**PATIENT, **options})
    plan = dataset_module._Plan(patches.cluster, table, tuple(columns.values()), options)
    return Epoch(dataset_module._FetchDataset(tf.data.Dataset.from_tensor_slices(patches.keys), plan))


def test_a_cluster_that_tells_nothing_about_its_ring_is_read_key_by_key(simulator):
    with simulator.cluster({"dc1": 3}) as cluster:
        patches = played(cluster)
        epoch = begin(patches)

        epoch.rest()

        assert epoch.rows == truth(patches)
        assert sum(cluster.reads(QUERY).values()) == ROWS


@pytest.mark.parametrize("error", ["read_timeout", "overloaded", "unavailable", "is_bootstrapping", "server_error"])
def test_one_host_that_answers_every_read_with_an_error_is_done_without(simulator, error):
    with simulator.cluster({"dc1": 3}) as cluster:
        patches = played(cluster)
        epoch = begin(patches)
        epoch.take(4)

        cluster.answer_error(QUERY, error, node=("dc1", 1))
        with counted() as grown:
            epoch.rest()

        assert epoch.rows == truth(patches)
        assert grown["errors"] == 0
        # What a starting node refuses, the driver itself asks of the next one.
        assert grown["retries"] >= 1 or error == "is_bootstrapping"
        assert cluster.reads(QUERY)[("dc1", 1)] >= 1


def test_a_storm_of_overloaded_on_all_hosts_that_passes(simulator):
    with simulator.cluster({"dc1": 3}) as cluster:
        patches = played(cluster)
        epoch = begin(patches)
        epoch.take(4)

        for number in range(3):
            cluster.answer_error(QUERY, "overloaded", node=("dc1", number))
        refused = tfcass.metrics()["retries"] + 10

        def pass_over():
            wait_until(lambda: tfcass.metrics()["retries"] >= refused, "ten more attempts")
            cluster.forget_answers_of_nodes("dc1")

        with meanwhile(pass_over), counted() as grown:
            epoch.rest()

        assert epoch.rows == truth(patches)
        assert grown["errors"] == 0


def test_no_read_leaves_the_local_datacenter(simulator):
    with simulator.cluster({"near": 2, "far": 3}) as cluster:
        patches = played(cluster, local_dc="near")
        epoch = begin(patches)

        epoch.rest()

        assert epoch.rows == truth(patches)
        reads = cluster.reads(QUERY)
        assert sum(reads[("near", number)] for number in range(2)) == ROWS
        assert sum(reads[("far", number)] for number in range(3)) == 0


def test_a_local_datacenter_that_fails_is_an_error_and_no_reason_to_read_afar(simulator):
    with simulator.cluster({"near": 2, "far": 3}) as cluster:
        patches = played(cluster, local_dc="near")
        epoch = begin(patches, timeout_s=2.0, max_retries=2)
        epoch.take(4)
        for number in range(2):
            cluster.answer_error(QUERY, "overloaded", node=("near", number))

        with pytest.raises(tf.errors.UnavailableError) as caught:
            epoch.rest()

        row = len(epoch.rows)
        assert epoch.rows == truth(patches, slice(0, row)) and uuid_of(patches, row) in str(caught.value)
        reads = cluster.reads(QUERY)
        assert sum(reads[("far", number)] for number in range(3)) == 0


def test_a_statement_that_the_server_prepares_without_its_parameter_is_an_error(simulator):
    with simulator.cluster({"dc1": 1}) as cluster:
        patches = played(cluster)
        cluster.answer_error(QUERY, "overloaded", node=("dc1", 0))  # Simulacron prepares such statements that way.

        with pytest.raises(tf.errors.InternalError, match=f"{TABLE}.*no parameters"):
            begin(patches).rest()


def test_an_empty_reply_is_a_missing_row(simulator):
    with simulator.cluster({"dc1": 1}) as cluster:
        patches = played(cluster)
        absent = np.array(patches.keys)
        absent[5] = 0
        cluster.answer_nothing(QUERY, "patch_id", absent[5].tobytes())
        strange = Patches(patches.cluster, "played", TABLE, absent, patches.labels, patches.data)
        epoch = begin(strange)

        errors = epoch.rest_despite_errors()

        assert [type(error) for error in errors] == [tf.errors.NotFoundError]
        assert uuid_of(strange, 5) in str(errors[0])
        assert epoch.rows == truth(strange, [row for row in range(ROWS) if row != 5])
