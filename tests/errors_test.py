"""What library functions refuse, told in the words of the command line."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tiny

from ddjax import data, settings
from ddjax.errors import InputError, named
from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.stages import checks


def told(says, prefix="", **keys):
    with pytest.raises(InputError) as caught, named(prefix, **keys):
        raise InputError(says)
    return str(caught.value)


def test_an_argument_at_the_start_becomes_its_setting():
    assert told("size: found 0", size="data.image_size") == "data.image_size: found 0"
    assert told("oversize: found 0", size="x") == "oversize: found 0"


def test_a_hint_becomes_a_flag():
    says = "a.png: of another size; size=PIXELS brings it there, or grey=True"
    expected = "images: a.png: of another size; --s=PIXELS brings it there, or --g=True"
    assert told(says, "images", size="s", grey="g") == expected


def test_code_and_prose_stay_as_they_are():
    says = "run f(folder='x', my_size=PIXELS), the size is 3"
    assert told(says, folder="data.data_dir", size="s") == says


def test_a_hint_that_no_setting_follows_is_left_out():
    says = "found 8 px, expected 9; resize=True brings them to it"
    assert told(says, resize="") == "found 8 px, expected 9"


def test_other_errors_pass():
    with pytest.raises(KeyError), named("x"):
        raise KeyError("k")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


def refused(source, add=None, **changes):
    """What a run of a changed config is refused with."""
    config = tiny.config(source, **changes)
    if add:
        add(config)
    with pytest.raises(InputError) as caught:
        made = from_config(config)
        checks.check_names(made)
        checks.check(open_problem(made))
    return str(caught.value)


def image_set(path, size):
    images = np.zeros((6, size, size, 1), np.uint8)
    data.write_image_set(images, np.arange(6) % 3, tiny.CLASSES, path, format="npz")
    return str(path)


def test_a_codec_is_named_by_its_entry(source):
    def add(config):
        settings.add_labels(config, "mine", codec="topk:k=99")

    assert refused(source, add).startswith("labels.mine.codec: topk.k: found 99")


def test_an_image_set_of_another_size_names_the_flag(source, tmp_path):
    says = refused(source, images=image_set(tmp_path / "set.npz", 9))
    assert says.startswith("images: ") and "--images_resize=True brings them" in says


def test_a_start_of_another_size_names_no_flag_that_it_lacks(source, tmp_path):
    path = image_set(tmp_path / "set.npz", 9)

    def add(config):
        settings.add_distillation(config, "mine", "sre2l")
        config.distill.mine.recover.init = path
        config.teacher.network.name = "convnet_d1"
        config.teacher.network.convnet.norm = "batch"

    says = refused(source, add)
    assert says.startswith("distill.mine.recover.init: ") and "resize" not in says


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data__source": "digit"}, "data.source: found 'digit', allowed is one of"),
        ({"data__stream": True}, "data.source: found 'npz:"),
        ({"data__source": "digits", "data__data_dir": "/no"}, "data.data_dir: there"),
    ],
)
def test_what_a_source_lacks_is_named_by_its_setting(source, changes, says):
    assert refused(source, **changes).startswith(says)


def test_images_that_do_not_fit_are_refused_before_they_are_made(source, monkeypatch):
    monkeypatch.setattr("ddjax.memory.host", lambda: 2**20)
    says = refused(source, data__image_size=1024)
    assert says.startswith("data.image_size: 120 images of 1024 x 1024 pixels take 0.1")
    assert "--data.image_size=PIXELS" in says and "stream=True" in says


def test_a_pipe_that_closes_is_no_error():
    code = "from ddjax import main; main.run()"
    command = [sys.executable, "-c", code, "list", "selections"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        process.stdout.close()
        assert process.wait(60) in (0, -signal.SIGPIPE)
        assert process.stderr.read() == b""
