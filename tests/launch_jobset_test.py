"""The JobSet of GKE: it fits its schema, fills its slices, repeats what can go on."""

import pathlib
import re
import shlex

import numpy as np
import pytest
import yaml
from launching import ROOT, blocks

from ddjax.data import feed

# The fields that the file uses, with what the JobSet resource and its Kubernetes parts
# allow: a type, a pattern, a set of words, a list of one kind, a dictionary, or a tuple
# of dictionaries that have other fields each. Written after the
# resource's definition in kubernetes-sigs/jobset (config/components/crd/bases).
TEXT, TEXTS, SIZE = str, {str: str}, re.compile(r"[1-9]\d*[KMGT]i")
CONTAINER = {
    "name": TEXT,
    "image": TEXT,
    "workingDir": TEXT,
    "command": [TEXT],
    "securityContext": {"privileged": bool},
    "resources": {"limits": {"google.com/tpu": int}},
    "volumeMounts": [{"name": TEXT, "mountPath": TEXT}],
}
POD = {
    "restartPolicy": {"Never"},  # the only one with a podFailurePolicy
    "terminationGracePeriodSeconds": int,
    "nodeSelector": TEXTS,
    "containers": [CONTAINER],
    "volumes": [
        (
            {"name": TEXT, "persistentVolumeClaim": {"claimName": TEXT}},
            {"name": TEXT, "emptyDir": {"medium": {"", "Memory"}, "sizeLimit": SIZE}},
        )
    ],
}
EXIT_CODES = {"containerName": TEXT, "operator": {"In", "NotIn"}, "values": [int]}
JOB = {
    "parallelism": int,
    "completions": int,
    "backoffLimit": int,
    "podFailurePolicy": {
        "rules": [
            {
                "action": {"FailJob", "FailIndex", "Ignore", "Count"},
                "onExitCodes": EXIT_CODES,
            }
        ]
    },
    "template": {"spec": POD},
}
RULE = {
    "name": TEXT,
    "action": {"FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"},
    "onJobFailureReasons": [
        {
            "BackoffLimitExceeded",
            "DeadlineExceeded",
            "FailedIndexes",
            "MaxFailedIndexesExceeded",
            "PodFailurePolicy",
        }
    ],
}
JOBSET = {
    "apiVersion": {"jobset.x-k8s.io/v1alpha2"},
    "kind": {"JobSet"},
    "metadata": {"name": TEXT, "annotations": TEXTS},
    "spec": {
        "network": {"enableDNSHostnames": bool, "subdomain": TEXT},
        "failurePolicy": {"maxRestarts": int, "rules": [RULE]},
        "replicatedJobs": [{"name": TEXT, "replicas": int, "template": {"spec": JOB}}],
    },
}


def check(found, allowed, place="jobset"):
    """Checks a document: all of the fields, no others, and their values."""
    if isinstance(allowed, tuple):
        kinds = [kind for kind in allowed if set(kind) == set(found)]
        assert len(kinds) == 1, place
        check(found, kinds[0], place)
    elif isinstance(allowed, re.Pattern):
        assert allowed.fullmatch(found), place
    elif isinstance(allowed, set):
        assert found in allowed, place
    elif isinstance(allowed, list):
        assert isinstance(found, list) and found, place
        for number, one in enumerate(found):
            check(one, allowed[0], f"{place}[{number}]")
    elif isinstance(allowed, dict) and str not in allowed:
        assert set(found) == set(allowed), place
        for name, value in found.items():
            check(value, allowed[name], f"{place}.{name}")
    elif isinstance(allowed, dict):
        assert all(isinstance(text, str) for pair in found.items() for text in pair)
    else:
        assert type(found) is allowed, place


@pytest.fixture(scope="module")
def jobset():
    return yaml.safe_load((ROOT / "launch" / "gke_jobset.yaml").read_text())


def test_jobset_fits_its_schema(jobset):
    check(jobset, JOBSET)
    label = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    (job,) = jobset["spec"]["replicatedJobs"]
    for name in (jobset["metadata"]["name"], job["name"]):
        assert re.fullmatch(label, name)


def test_jobset_fills_its_slices(jobset):
    (job,) = jobset["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    chips = np.prod([int(side) for side in topology.split("x")])
    pods = chips // container["resources"]["limits"]["google.com/tpu"]
    assert spec["parallelism"] == spec["completions"] == pods > 1
    assert [v["name"] for v in pod["volumes"]] == [
        mount["name"] for mount in container["volumeMounts"]
    ]


def test_workers_share_more_memory_than_a_pod_has_by_itself(jobset):
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    mounts = {m["mountPath"]: m["name"] for m in pod["containers"][0]["volumeMounts"]}
    (volume,) = [v for v in pod["volumes"] if v["name"] == mounts[feed._SHARED]]
    assert volume["emptyDir"]["medium"] == "Memory"
    assert int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")) >= 1


def test_jobset_repeats_all_but_wrong_input(jobset):
    failure = jobset["spec"]["failurePolicy"]
    assert failure["maxRestarts"] > 0
    (rule,) = failure["rules"]
    assert rule["action"] == "FailJobSet"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    spec = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["values"] == [2]
    (container,) = spec["template"]["spec"]["containers"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert spec["backoffLimit"] == 0  # every other failure is one of the whole set


def test_jobset_runs_the_command_of_the_readme(jobset):
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command = shlex.join(container["command"])
    assert command in blocks(ROOT / "README.md")["main"].splitlines()
    mount = container["volumeMounts"][0]
    assert mount["name"] == "runs"
    workdir = pathlib.PurePath(container["workingDir"], "runs/digits")
    assert workdir.is_relative_to(mount["mountPath"])
    docker = (ROOT / "launch" / "Dockerfile").read_text()
    assert f"WORKDIR {container['workingDir']}\n" in docker
