"""Joining: who is asked to join, with which arguments, and what is refused."""

import jax
import pytest
from jax._src.clusters import cloud_tpu_cluster

from ddjax.errors import InputError
from ddjax.process import joining

OWN = {
    "JAX_COORDINATOR_ADDRESS": "host:1234",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "3",
}
SLURM = {"SLURM_STEP_NODELIST": "a,b", "SLURM_NTASKS": "2"}
# One pod of several slices of one host each, as GKE's TPU webhook sets it up.
SLICES = {
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "MEGASCALE_NUM_SLICES": "2",
    "MEGASCALE_SLICE_ID": "1",
    "MEGASCALE_COORDINATOR_ADDRESS": "ddjax-slice-0-0.ddjax",
}


@pytest.fixture
def calls(monkeypatch):
    others = ("OMPI_COMM_WORLD_SIZE", "TPU_PROCESS_ADDRESSES")
    for name in (*OWN, *SLURM, *SLICES, *others):
        monkeypatch.delenv(name, raising=False)
    found = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **a: found.append(a))

    def join(mode="auto", **variables):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            found.clear()
            joining.join(mode)
            for arguments in found:
                assert arguments.pop("heartbeat_timeout_seconds") < 60
            return list(found)

    return join


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"JAX_COORDINATOR_ADDRESS": "host:1234"},
        SLURM | {"SLURM_NTASKS": "1"},
        {"SLURM_NTASKS": "2"},  # in a batch script, without srun
        {"OMPI_COMM_WORLD_SIZE": "1"},
        {"TPU_WORKER_HOSTNAMES": "localhost"},
        {"TPU_PROCESS_ADDRESSES": "localhost:8471"},
        SLICES | {"MEGASCALE_NUM_SLICES": "1"},
        SLICES | {"MEGASCALE_NUM_SLICES": ""},
    ],
)
def test_a_process_alone_stays_alone(calls, variables):
    assert calls(**variables) == []


@pytest.mark.parametrize(
    "variables",
    [
        SLURM,
        SLURM | {"JAX_COORDINATOR_ADDRESS": "host:1234"},
        {"OMPI_COMM_WORLD_SIZE": "2"},
        {"TPU_WORKER_HOSTNAMES": "a,b"},
        {"TPU_PROCESS_ADDRESSES": "a:8471,b:8471"},
        SLICES,
        SLICES | {"TPU_WORKER_HOSTNAMES": "a,b"},
        {"MEGASCALE_NUM_SLICES": "3"},
    ],
)
def test_clusters_that_jax_knows_are_joined_as_it_finds_them(calls, variables):
    assert calls(**variables) == [{}]
    assert calls("off", **variables) == []


def test_three_variables_say_all(calls):
    given = {"coordinator_address": "host:1234", "num_processes": 4, "process_id": 3}
    assert calls(**OWN) == calls("on", **OWN) == [given]
    assert calls("off", **OWN) == []
    assert calls("on") == [{}]  # a pod of TPU VMs


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"JAX_PROCESS_ID": "4"}, "JAX_PROCESS_ID: found '4' of '4' processes"),
        ({"JAX_PROCESS_ID": "x"}, "JAX_PROCESS_ID: found 'x'"),
        ({"JAX_NUM_PROCESSES": "0"}, "JAX_PROCESS_ID: found '3' of '0'"),
    ],
)
def test_wrong_numbers_are_refused(calls, changes, message):
    with pytest.raises(InputError, match=message):
        calls(**OWN | changes)


def test_a_missing_variable_is_named(calls):
    given = {name: value for name, value in OWN.items() if name != "JAX_PROCESS_ID"}
    with pytest.raises(InputError, match="JAX_PROCESS_ID: not set"):
        calls("on", **given)


def test_jax_counts_the_processes_of_one_host_slices(monkeypatch):
    for name, value in SLICES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TPU_PROCESS_ADDRESSES", raising=False)
    found = cloud_tpu_cluster.GkeTpuCluster
    assert (found.get_process_count(), found.get_process_id()) == (2, 1)


def test_a_cluster_that_is_not_there_is_refused(calls, monkeypatch):
    def fail(**arguments):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with pytest.raises(InputError, match="--distributed=on: coordinator_address"):
        calls("on")
