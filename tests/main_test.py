"""The command line: wrong input ends with exit code 2 and one line, before compute."""

import gzip
import itertools
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np
import pytest
import runs
import tiny
from forking import forking
from PIL import Image

from ddjax.problem import open_problem
from ddjax.run import Run
from ddjax.settings import from_config
from ddjax.workdir import Workdir

ROOT = pathlib.Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "ddjax.main"]
ENVIRONMENT = os.environ | {"JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


@pytest.fixture(scope="module")
def config(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "config.py"
    few = {"regimes": ("hard",), "select__methods": ("random",)}
    return tiny.write_config(path, source, **few)


@pytest.fixture(scope="module")
def ddjax(tmp_path_factory):
    """Runs the program; returns (exit code, standard output, standard error)."""
    folder, numbers = tmp_path_factory.mktemp("output"), itertools.count()
    with forking(ENVIRONMENT) as server:

        def run(*arguments):
            number = next(numbers)
            paths = [folder / f"{name}{number}" for name in ("out", "err")]
            code, _ = server(arguments, *paths)
            return code, *(path.read_text() for path in paths)

        yield run


@pytest.fixture
def refused(ddjax, config, tmp_path):
    """Asserts that arguments end with one line, before compute, and write nothing."""

    def check(*arguments, says, workdir=None):
        place = workdir or tmp_path / "w"
        code, out, err = ddjax(f"--config={config}", f"--workdir={place}", *arguments)
        assert code == 2, err
        lines = err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), err
        assert says in lines[0], err
        assert out == ""
        assert workdir is not None or not place.exists()
        return lines[0]

    return check


def test_dry_run_tells_the_cost_and_writes_nothing(ddjax, config, tmp_path):
    place = tmp_path / "w"
    flags = (f"--config={config}", f"--workdir={place}", "--dry_run")
    code, out, err = ddjax(*flags)
    assert code == 0 and not place.exists(), err
    assert "96 training, 24 validation and 36 test images" in out
    assert "H100" in out and "v5e" in out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    name = "students, mlp, hard, IPC 2 2.40e+02 4.80e+02"
    assert any(row.startswith(name) for row in rows)
    assert any(row.startswith("all 2.40e+02 4.80e+02") for row in rows)
    code, out, err = ddjax(*flags, "--config.select.ipcs=(500,)")
    assert code == 2 and "found 500, but class 'left' has 32 training" in err


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--config.student.epoch=3", "epoch"),
        ("--config.students.epochs=3", "students"),
        ("--config.student.epochs=many", "many"),
        ("--config.student.epochs=1.5", "1.5"),
        ("--config.student.temperature=0.0", "student.temperature: found 0.0"),
        ("--config.student.temperature=-4.0", "student.temperature: found -4.0"),
        ("--config.student.temperature=nan", "student.temperature: found nan"),
        ("--config.student.optimizer.zeta=0.0", "student.optimizer.zeta: found 0.0"),
        ("--config.teacher.optimizer.zeta=-1.0", "teacher.optimizer.zeta: found -1.0"),
        ("--config.data.source=mnist", "one of digits, fashion_mnist, tfds:NAME, c"),
        ("--config.data.source=npz", "data.source: found 'npz', allowed is one of"),
        ("--config.regimes=('hard','harder')", "one of hard, soft, soft_kd"),
        ("--config.select.methods=('random','best')", "one of random, el2n_easy"),
        ("--config.select.methods=('el2n_easy',)", "lacks 'random'"),
        ("--config.student.network.name=vgg", "student.network.name: found 'vgg'"),
        ("--config.teacher.network.name=vgg", "allowed is one of alexnet"),
        ("--config.select.ipcs=(2,500)", "found 500, but class 'left' has 32 training"),
        ("--config.student.batch_size=7", "student.batch_size: found 7, allowed is at"),
        ("--config.teacher.batch_size=97", "teacher.batch_size: found 97, allowed is"),
        ("--config.data.pool=2", "found 2"),
        ("--config.data.data_dir=/nowhere", "no folder '/nowhere'"),
        ("--config.augment.resized_crop=(0.5,2.0)", "augment.resized_crop"),
        ("--config.augment.pad=-1", "augment.pad"),
        ("--config.protocol.select_on=train", "one of validation, test"),
        ("--config.sweep.driver=pmap", "one of auto, vmap, loop, mesh"),
        ("--no_such_flag", "no_such_flag"),
        ("more", "more: unknown argument"),
    ],
)
def test_wrong_setting_is_refused(refused, argument, message):
    refused(argument, says=message)


@pytest.mark.parametrize(
    ("network", "option", "message"),
    [
        ("convnet_d6", (), r"data.image_size: found 8, allowed is at least 64 px"),
        (
            "resnet34",
            ("resnet.stem=tiny",),
            "student.network.resnet.stem: found 'tiny'",
        ),
        ("resnet_ap10", ("resnet_ap.norm=x",), "student.network.resnet_ap.norm: found"),
        ("mlp", ("mlp.width=4",), "width"),
        ("resnet18", ("resnet.width=wide",), "width"),
    ],
)
def test_wrong_option_of_a_network_is_refused(refused, network, option, message):
    refused(
        f"--config.student.network.name={network}",
        *(f"--config.student.network.{o}" for o in option),
        says=message,
    )


def test_too_few_steps_for_the_trace_are_refused(refused):
    message = "student.epochs: 5 steps are too few for the 9 snapshots"
    methods = "--config.select.methods=('random','cad_prune')"
    refused(methods, "--config.student.epochs=5", says=message)


@pytest.mark.parametrize(
    "option", ["cad.quantity", "cad_prune.keep", "forgetting.never_learned"]
)
def test_unknown_reading_is_refused_with_the_known_ones(refused, option):
    refused(f"--config.select.{option}=best", says="'best', allowed is one of")


def test_missing_teacher_is_refused(refused, tmp_path):
    soft = "--config.regimes=('hard','soft')"
    refused(soft, f"--config.teacher.path={tmp_path}", says="manifest.json: is missing")


def image_folder(root):
    for split, name, index in itertools.product(("train", "test"), "ab", range(5)):
        path = root / split / name / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 20 * index, np.uint8)).save(path)
    return root


def idx_files(root):
    shapes = {"train": 20, "t10k": 10}
    for name, count in shapes.items():
        images = struct.pack(">4I", 0x803, count, 28, 28) + bytes(count * 784)
        labels = struct.pack(">2I", 0x801, count)
        labels += bytes(i % 10 for i in range(count))
        kinds = (("images-idx3", images), ("labels-idx1", labels))
        for kind, content in kinds:
            (root / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    return root


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def npz_refused(refused, path, says):
    refused(f"--config.data.source=npz:{path}", says=says)


def test_missing_npz_is_refused(refused, tmp_path):
    npz_refused(refused, tmp_path / "no.npz", "there is no file")


def test_truncated_npz_is_refused(refused, tmp_path):
    path = tiny.write(tmp_path / "images.npz")
    halve(path)
    npz_refused(refused, path, "images.npz: damaged, or not an .npz")


def test_npz_with_a_damaged_array_is_refused(refused, tmp_path):
    path = tiny.write(tmp_path / "images.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    npz_refused(refused, path, "images.npz: x_train: cannot be read")


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_npz_without_an_array_is_refused(refused, tmp_path, name):
    path = tiny.write(tmp_path / "images.npz", **{name: None})
    npz_refused(refused, path, f"no array {name}")


@pytest.mark.parametrize("label, shown", [(3, "3"), (-1, "-1"), (0.5, "0.5")])
@pytest.mark.parametrize("split", ["train", "test"])
def test_label_out_of_range_is_refused(refused, tmp_path, split, label, shown):
    labels = tiny.arrays()[f"y_{split}"].astype(type(label))
    labels[7] = label
    path = tiny.write(tmp_path / "images.npz", **{f"y_{split}": labels})
    npz_refused(refused, path, f"{split} split has label {shown} at position 7")


def test_empty_class_is_refused(refused, tmp_path):
    labels = tiny.arrays()["y_train"]
    labels[labels == 1] = 0
    path = tiny.write(tmp_path / "images.npz", y_train=labels)
    npz_refused(refused, path, "no example of class 'middle' (label 1)")


def test_class_of_one_image_is_refused(refused, tmp_path):
    labels = tiny.arrays()["y_train"]
    labels[labels == 1] = 0
    labels[0] = 1
    path = tiny.write(tmp_path / "images.npz", y_train=labels)
    npz_refused(refused, path, "label 1 has a single example")


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.5])
def test_pixel_that_is_no_colour_is_refused(refused, tmp_path, value):
    images = tiny.arrays()["x_train"] / 255
    images[5, 0, 0] = value
    path = tiny.write(tmp_path / "images.npz", x_train=images)
    npz_refused(refused, path, f"x_train has the value {value} in example 5")


def test_splits_of_different_size_are_refused(refused, tmp_path):
    small = tiny.arrays()["x_test"][:, :6]
    path = tiny.write(tmp_path / "images.npz", x_test=small)
    npz_refused(refused, path, "must be the same")


def idx_refused(refused, folder, says):
    source = "--config.data.source=fashion_mnist"
    refused(source, f"--config.data.data_dir={folder}", says=says)


def test_missing_idx_file_is_refused(refused, tmp_path):
    (idx_files(tmp_path) / "t10k-labels-idx1-ubyte.gz").unlink()
    idx_refused(refused, tmp_path, "lacks t10k-labels-idx1-ubyte")


def test_truncated_idx_file_is_refused(refused, tmp_path):
    halve(idx_files(tmp_path) / "train-labels-idx1-ubyte.gz")
    idx_refused(refused, tmp_path, "train-labels-idx1-ubyte.gz: ")


def test_missing_folder_is_refused(refused, tmp_path):
    source = f"--config.data.source=folder:{tmp_path / 'no'}"
    refused(source, says="there is no folder")


def test_folder_without_a_split_is_refused(refused, tmp_path):
    image_folder(tmp_path / "images")
    (tmp_path / "images" / "test").rename(tmp_path / "images" / "later")
    refused(f"--config.data.source=folder:{tmp_path}/images", says="no such folder")


def test_truncated_image_is_refused(refused, tmp_path):
    halve(image_folder(tmp_path / "images") / "train" / "b" / "3.png")
    source = f"--config.data.source=folder:{tmp_path}/images"
    refused(source, says="b/3.png: not a readable image")


def test_empty_class_folder_is_refused(refused, tmp_path):
    for path in (image_folder(tmp_path / "images") / "train" / "b").iterdir():
        path.unlink()
    source = f"--config.data.source=folder:{tmp_path}/images"
    refused(source, says="train/b: class folder without a PNG, JPEG")


def test_missing_tfds_data_is_refused(refused, tmp_path):
    source = "--config.data.source=tfds:mnist"
    refused(source, f"--config.data.data_dir={tmp_path}", says="tfds")


def test_workdir_of_other_things_is_refused(refused, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    refused(says="no run.json", workdir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("key", ["experiment", "source"])
def test_workdir_of_another_run_is_refused(refused, tmp_path, source, key):
    digest = open_problem(from_config(tiny.config(source))).source.digest
    identity = {"experiment": "tiny", "source": digest} | {key: "another"}
    Workdir(tmp_path / "other", identity).close()
    before = sorted(tmp_path.rglob("*"))
    message = f"holds a run with {key} 'another'"
    refused(says=message, workdir=tmp_path / "other")
    assert sorted(tmp_path.rglob("*")) == before


def test_workdir_in_use_is_refused(refused, tmp_path):
    with Workdir(tmp_path / "used", {"experiment": "tiny"}):
        refused(says="another process is running there", workdir=tmp_path / "used")


@pytest.mark.parametrize("place", ["/proc/ddjax", "/dev/null/ddjax", "/proc/version"])
def test_workdir_that_cannot_be_made_is_refused(refused, place):
    # Nobody may write there, the superuser included, whom permission bits do not stop.
    message = f"--workdir {place}: cannot be made a folder"
    refused(says=message, workdir=pathlib.Path(place))


def test_damaged_artifact_is_refused(ddjax, config, source, tmp_path):
    changes = {"regimes": ("hard",), "select__methods": ("random",)}
    problem = open_problem(from_config(tiny.config(source, **changes)))
    identity = {"experiment": "tiny", "source": problem.source.digest}
    with Workdir(tmp_path / "w", identity) as workdir:
        artifact = runs.subsets_of(Run(workdir), problem, 2)
    halve(artifact.path / "arrays.npz")
    before = sorted(tmp_path.rglob("*"))
    code, _, err = ddjax(f"--config={config}", f"--workdir={tmp_path / 'w'}")
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith(f"error: {artifact.path / 'arrays.npz'}: sha256 is ")
    assert line.endswith(f"delete the folder {artifact.path} to compute it again")
    assert set(tmp_path.rglob("*")) - {tmp_path / "w" / ".written.jsonl"} == set(before)


def test_missing_config_is_refused(ddjax):
    allowed = "run, plan, list, show, report, compare, leaderboard"
    message = f"error: no command: allowed are {allowed}; see --help\n"
    assert ddjax() == (2, "", message)
    example = "e.g. ddjax run cad_prune:digits --workdir=runs/digits\n"
    assert ddjax("--workdir=w") == (2, "", f"error: run: CONFIG is missing, {example}")


def test_config_that_is_not_there_is_refused(ddjax):
    code, out, err = ddjax("--config=configs/nothing.py")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ") and "configs/nothing.py" in line


@pytest.mark.parametrize(
    "text", ["def get_config(", "x = 1", "def get_config():\n  raise KeyError('k')"]
)
def test_config_that_is_no_config_is_refused(ddjax, tmp_path, text):
    (tmp_path / "config.py").write_text(text)
    code, out, err = ddjax(f"--config={tmp_path / 'config.py'}")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize("text", ["return 3", "return {'nme': 3}"])
def test_config_of_other_things_is_refused(ddjax, tmp_path, text):
    (tmp_path / "config.py").write_text(f"def get_config():\n  {text}")
    code, out, err = ddjax(f"--config={tmp_path / 'config.py'}")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")


def test_unknown_variant_is_refused_with_the_known_ones(ddjax):
    code, _, err = ddjax("--config=configs/cad_prune.py:smok")
    assert code == 2
    (line,) = err.splitlines()
    assert "smok" in line and "fashion_mnist" in line


def test_traceback_is_shown_on_request(ddjax, config, tmp_path):
    arguments = f"--config={config}", f"--workdir={tmp_path / 'w'}", "--traceback"
    code, _, err = ddjax(*arguments, "--config.regimes=('harder',)")
    assert code not in (0, 2)
    assert "Traceback" in err and "InputError: regimes: found 'harder'" in err
    assert not (tmp_path / "w").exists()


def test_a_process_of_its_own_refuses_alike(config, tmp_path):
    arguments = [f"--config={config}", f"--workdir={tmp_path / 'w'}"]
    result = subprocess.run(
        [*COMMAND, *arguments, "--config.student.temperature=0.0"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr == (
        "error: student.temperature: found 0.0, allowed is a number in [0.01, 1000]\n"
    )
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--help",), "ddjax run own --data=PHOTOS"),
        (("run", "--help"), "ddjax show CONFIG"),
        (("--version",), "ddjax 0."),
        (("list", "configs"), "methods/sre2l"),
        (("list", "selections"), "cad_facility_location"),
        (
            ("show", "cad_prune:smoke"),
            "Variants: digits, fashion_mnist, fashion_mnist_",
        ),
        (("show", "student.epochs"), "allowed: an integer in [0, 1000000]"),
    ],
)
def test_the_command_explains_itself(ddjax, arguments, shown):
    code, out, err = ddjax(*arguments)
    assert (code, err) == (0, "") and shown in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", "methodes"), "list: found 'methodes', allowed is one of configs, "),
        (("list",), "list: KIND is missing, e.g. ddjax list configs"),
        (("show", "student.epoch"), "student.epoch: unknown key, "),
        (("run", "cad_prun"), "config: found 'cad_prun', "),
        (("run", "cad_prune:smok"), "variant: found 'smok', allowed is one of digits"),
        (("plan", "configs/cad_prune.py:smok"), "did you mean smoke?"),
        (("run", "cad_prune", "--student.epoch=3"), "--student.epoch: unknown key, "),
        (("run", "cad_prune", "--resize=True"), "--resize: unknown key, "),
        (("run", "cad_prune", "--data=3", "--dat=3"), "--dat: unknown key, "),
        (("run", "cad_prune", "--student.epochs=three"), "an integer in [0, 1000000]"),
        (("run", "cad_prune", "--student=3"), "student: is a section, allowed are"),
        (("run", "cad_prune", "--labels.mine.codec=x"), "there is no entry mine, ther"),
        (("plan", "evaluate_images"), "images: is missing, --images=... gives it"),
        (
            ("plan", "evaluate_images", "--images="),
            "images: is missing, --images=... gives it",
        ),
        (("plan", "cad_prune", "--data.source=digit"), "data.source: found 'digit', "),
        (("plan", "cad_prune", "--data.image_size=0x8"), "data.image_size: found "),
        (("plan", "cad_prune", "--teacher.path=/etc"), "teacher.path must be the fold"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(ddjax, arguments, says):
    code, out, err = ddjax(*arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ") and says in line
    assert "delete" not in line and "Did you mean" not in line


@pytest.mark.parametrize(
    "value", ["random,el2n_easy", "('random','el2n_easy')", '["random", "el2n_easy"]']
)
def test_lists_of_names_are_split_at_commas(ddjax, config, value):
    flags = "--config.select.ipcs=2,500", f"--select.methods={value}"
    code, _, err = ddjax("plan", config, *flags)
    assert code == 2 and "select.ipcs: found 500" in err  # no name was refused
