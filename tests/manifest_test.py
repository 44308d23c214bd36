"""Teacher bundles that say wrong things: refused by file and key, before compute."""

import json
import shutil
from hashlib import sha256

import numpy as np
import pytest
import runs
import tiny

from ddjax import pipeline
from ddjax.artifacts import seal
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.train import checkpoint


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


@pytest.fixture(scope="module")
def bundle(source, tmp_path_factory):
    """The bundle of a teacher with a snapshot."""

    changes = {"teacher__epochs": 2, "teacher__snapshots": (1,)}
    problem = open_problem(from_config(tiny.config(source, **changes)))
    with runs.running(tmp_path_factory.mktemp("runs") / "run") as run:
        return runs.teacher_of(run, problem).artifact.path


GONE = object()
# Where in the manifest, what stands there then, what the refusal says.
SAYS = [
    ("schema", 5, "schema is 5, expected 4; teacher.path must be"),
    ("schema", GONE, "schema is None, expected 4"),
    ("kind", "labels", "kind is 'labels', expected 'teacher'"),
    ("address", 7, "address is 7, expected a value of type str"),
    ("info", [], r"info is \[\], expected a mapping of type dict"),
    ("cost", {"seconds": 1.0}, "cost is .* expected numbers for bytes, compile_sec"),
    ("cost.seconds", "1", "cost is .* expected numbers"),
    ("files", {}, "files is {}, expected a sha256 for arrays.npz"),
    ("files", [], r"files is \[\], expected a mapping"),
    ("files.arrays.npz", "abc", "files is .* expected a sha256"),
    ("files./etc/hostname", {"sha256": "0" * 64}, "'/etc/hostname', which lies outs"),
    ("files.../../x", {"sha256": "0" * 64}, "'../../x', which lies outside of the f"),
    ("files.weights", {"sha256": "0" * 64}, "weights: is no regular file"),
    ("settings.network", GONE, "settings.network is missing, allowed is a name of a"),
    ("settings.network", "resnet", "settings.network: found 'resnet', allowed is a"),
    ("settings.network", ["mlp"], r"settings.network: found \['mlp'\], allowed is a"),
    ("settings.options", [8], r"settings.options: found \[8\], allowed is a mapping"),
    ("settings.options.hidden", 8, "settings.options: hidden: found 8, allowed"),
    ("settings.options.width", 8, "settings.options: width: .* has no such option"),
    ("settings.recipe.epochs", "2", "settings.recipe.epochs: found '2', allowed is an"),
    ("info.classes", "abc", "info.classes: found 'abc', allowed is a list of at lea"),
    ("info.classes", [1, 2, 3], r"info.classes: found \[1, 2, 3\], allowed is a list"),
    ("info.image_shape", [8, 8], r"info.image_shape: found \[8, 8\], allowed is \[hei"),
    ("info.image_shape", {"h": 8}, "info.image_shape: found {'h': 8}, allowed"),
    ("info.mean", 0.5, "info.mean: found 0.5, allowed is a list of 1 numbers"),
    ("info.mean", [0.5, 0.5], r"info.mean: found \[0.5, 0.5\], allowed is a list of 1"),
    ("info.std", [0.0], r"info.std: found \[0.0\], allowed is .* of at least 1e-6"),
    ("info.std", [-1.0], r"info.std: found \[-1.0\], allowed is .* of at least 1e-6"),
    ("info.std", [float("nan")], r"info.std: found \[nan\], allowed is .* of at lea"),
    ("info.std", ["0.2"], r"info.std: found \['0.2'\], allowed is a list of 1 numbers"),
    ("info.accuracy", 99.0, "info.accuracy: found 99.0, allowed is a mapping"),
    ("info.accuracy.test", GONE, "info.accuracy.test is missing, allowed is a number"),
    ("info.accuracy.validation", 1e9, "accuracy.validation: found 1.*, allowed is a n"),
    ("info.snapshots", [1], r"info.snapshots: found \[1\], allowed is a mapping"),
    ("info.snapshots.1.test", "9", "info.snapshots.1.test: found '9', allowed is a n"),
    ("info.parameters", None, "info.parameters: found None, allowed is an integer"),
    ("info.source", "tiny", "info.source: found 'tiny', allowed is a mapping"),
    ("info.source.digest", GONE, "info.source.digest is missing, allowed is a text"),
    # Options that are sound, of another network than the weights.
    (
        "settings.options.hidden",
        [9],
        r"params/fc_1/bias: found \[8\] of float32, expec",
    ),
    ("settings.options.hidden", [8, 8], r"params/fc_2/bias: found .3. of float32, ex"),
    (
        "settings.options.hidden",
        [],
        "params/fc_1/bias: found .*8. of float32, expected",
    ),
]


def sealed(manifest):
    """A changed manifest as a writer would have sealed it."""
    return seal({k: v for k, v in manifest.items() if k != "digest"})


def rewrite(path, key, value):
    """Changes what stands at a key of a manifest, whose names may hold dots."""
    file = path / "manifest.json"
    manifest = place = json.loads(file.read_text())
    first, _, rest = key.partition(".")
    names = [first, rest] if first == "files" and rest else key.split(".")
    for name in names[:-1]:
        place = place[name]
    if value is GONE:
        del place[names[-1]]
    else:
        place[names[-1]] = value
    file.write_text(json.dumps(sealed(manifest)))


def refused(source, path, folder, **changes):
    changes = {"teacher__path": str(path), "regimes": ("soft",)} | changes
    with pytest.raises(InputError) as caught:
        pipeline.run(from_config(tiny.config(source, **changes)), folder)
    assert not folder.exists()
    return str(caught.value)


@pytest.mark.parametrize("key, value, message", SAYS)
def test_a_manifest_that_says_wrong_things_is_refused(
    source, bundle, tmp_path, key, value, message
):
    path = shutil.copytree(bundle, tmp_path / "bundle")
    rewrite(path, key, value)
    with pytest.raises(InputError, match=message):
        raise InputError(refused(source, path, tmp_path / "w"))


@pytest.mark.parametrize("text", ["[]", "7", "null", '"text"', "{}", "{", ""])
def test_a_manifest_that_is_none_is_refused(source, bundle, tmp_path, text):
    path = shutil.copytree(bundle, tmp_path / "bundle")
    (path / "manifest.json").write_text(text)
    says = refused(source, path, tmp_path / "w")
    assert str(path) in says and "teacher.path must be the folder of a teacher" in says


def test_nothing_outside_of_a_bundle_is_read(source, bundle, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = shutil.copytree(bundle, tmp_path / "bundle")
    (path / "link").symlink_to(secret)
    rewrite(path, "files.link", {"sha256": "0" * 64})
    says = refused(source, path, tmp_path / "w")
    assert "'link', which lies outside of the folder" in says and "sha256" not in says


@pytest.mark.parametrize("folder", ["weights", "weights_epoch_1"])
@pytest.mark.parametrize("bad", ["nan", "shape", "kind", "gone", "cut", "unlisted"])
def test_weights_that_are_not_the_network_s_are_refused(
    source, bundle, tmp_path, folder, bad
):
    path = shutil.copytree(bundle, tmp_path / "bundle")
    tree = {
        "params": {
            "fc_1": {"kernel": np.zeros((64, 8)), "bias": np.zeros(8)},
            "fc_2": {"kernel": np.zeros((8, 3)), "bias": np.zeros(3)},
        }
    }
    kind = np.float16 if bad == "kind" else np.float32
    layer = {key: array.astype(kind) for key, array in tree["params"]["fc_2"].items()}
    layer["bias"][0] = np.nan if bad == "nan" else 0
    layer["bias"] = layer["bias"][: 2 if bad == "shape" else 3]
    first = {k: a.astype(np.float32) for k, a in tree["params"]["fc_1"].items()}
    shutil.rmtree(path / folder)
    checkpoint.save_tree(path / folder, {"params": {"fc_1": first, "fc_2": layer}})
    if bad == "gone":
        shutil.rmtree(path / folder)
        (path / folder).mkdir()
    elif bad == "cut":
        for file in (path / folder).rglob("*"):
            if file.is_file():
                file.write_bytes(b"")
    elif bad == "unlisted":
        (path / folder / "more").write_text("more")
    manifest = json.loads((path / "manifest.json").read_text())
    old = {k: v for k, v in manifest["files"].items() if not k.startswith(f"{folder}/")}
    new = {
        str(file.relative_to(path)): {"sha256": sha256(file.read_bytes()).hexdigest()}
        for file in (path / folder).rglob("*")
        if file.is_file() and file.name != "more"
    }
    manifest["files"] = old | new
    (path / "manifest.json").write_text(json.dumps(sealed(manifest)))
    says = refused(
        source, path, tmp_path / "w", teacher__epoch=1 if "_1" in folder else 0
    )
    expected = {
        "nan": f"{folder}: params/fc_2/bias: found NaN or infinite numbers, allowed",
        "shape": "params/fc_2/bias: found [2] of float32, expected [3] of float32",
        "kind": "params/fc_2/bias: found [3] of float16, expected [3] of float32",
        "gone": f"files: found nothing of '{folder}', allowed is the sha256 of every",
        "cut": f"{folder}: cannot be read as weights",
        "unlisted": f"files: found nothing of '{folder}/more', allowed is the sha256",
    }
    assert expected[bad] in says
