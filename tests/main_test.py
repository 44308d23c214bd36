"""The command line: wrong input ends with exit code 2 and one line, before compute."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SMOKE = "--config=configs/cad_prune.py:smoke"


def ddjax(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "ddjax.main", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        timeout=300,
        **kwargs,
    )


def refused(tmp_path, message, *arguments, workdir=None):
    result = ddjax(SMOKE, f"--workdir={workdir or tmp_path / 'w'}", *arguments)
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    assert message in lines[0]
    assert workdir is not None or not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--config.student.epoch=3", "epoch"),
        ("--config.student.epochs=many", "many"),
        ("--config.student.temperature=0.0", "student.temperature: found 0.0"),
        ("--config.data.source=mnist", "allowed"),
        ("--config.regimes=('hard','harder')", "one of hard, soft, soft_kd"),
        ("--config.select.methods=('random','best')", "one of random, el2n_easy"),
        ("--config.student.network.name=vgg", "convnet"),
        ("--config.select.ipcs=(2,500)", "select.ipcs: found 500, but class '"),
        ("--config.student.batch_size=21", "student.batch_size: found 21"),
        ("--config.student.network.convnet.depth=9", "depth"),
        ("--config.teacher.path=nowhere", "nowhere"),
        ("--config.augment.resized_crop=(0.5,2.0)", "augment.resized_crop"),
        ("--no_such_flag", "no_such_flag"),
        ("more", "more: unknown argument"),
    ],
)
def test_wrong_setting_is_refused(tmp_path, argument, message):
    refused(tmp_path, message, argument)


def test_missing_config_is_refused():
    result = ddjax()
    assert result.returncode == 2
    assert result.stderr == (
        "error: --config: missing, e.g. --config=configs/cad_prune.py\n"
    )


def test_config_that_is_not_there_is_refused():
    result = ddjax("--config=configs/nothing.py")
    assert result.returncode == 2
    assert "configs/nothing.py" in result.stderr
    assert "Traceback" not in result.stderr


def test_truncated_npz_is_refused(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, x_train=np.zeros((4, 8, 8), np.uint8))
    path.write_bytes(path.read_bytes()[:100])
    refused(tmp_path, "images.npz", f"--config.data.source=npz:{path}")


def test_workdir_of_other_things_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    refused(tmp_path, "no run.json", workdir=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_traceback_is_shown_on_request(tmp_path):
    result = ddjax(SMOKE, "--traceback", "--config.regimes=('harder',)")
    assert result.returncode != 0
    assert "Traceback" in result.stderr
