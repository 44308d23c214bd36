"""What is derived from a data set: a table of cases, and what is refused."""

import re

import numpy as np
import pytest

from ddjax import settings
from ddjax.data import Scan
from ddjax.errors import InputError
from ddjax.presets import derive


def scan(counts, sides=(40, 180, 300), channels=3, square=False, test=None, **changes):
    fields = {
        "source": "folder:birds",
        "classes": tuple(f"c{i}" for i in range(len(counts))),
        "counts": tuple(counts),
        "test": sum(counts) // 4 if test is None else test,
        "aside": True,
        "sides": sides,
        "square": square,
        "channels": channels,
    }
    return Scan(**fields | changes)


UNEQUAL = scan([24, 48, 80, 120, 176, 240, 320, 400])
TWO = scan([100, 130])
HUNDRED = scan([30] * 100)
GREY = scan([120] * 10, (8, 8, 8), channels=1, square=True)
MIXED = scan([600] * 10, (50, 224, 900))
LARGE = scan([5000] * 10, (32, 32, 32), square=True)
SMALLEST = scan([6, 6], (20, 30, 40))
ALL = (UNEQUAL, TWO, HUNDRED, GREY, MIXED, LARGE, SMALLEST)

# Data set, accelerator -> image size (0: as they come), network, budgets, batch.
CASES = [
    (UNEQUAL, False, 32, "convnet_d3", (5, 10), 25),
    (UNEQUAL, True, 128, "resnet18", (2, 5, 10), 16),
    (TWO, False, 32, "convnet_d3", (10, 20), 20),
    (HUNDRED, False, 16, "convnet_d3", (5, 10), 25),
    (GREY, False, 0, "convnet_d2", (20, 50), 25),
    (GREY, True, 0, "resnet18", (10, 20, 50), 50),
    (MIXED, False, 16, "convnet_d3", (20, 50), 25),
    (MIXED, True, 224, "resnet18", (10, 20, 50), 50),
    (LARGE, False, 16, "convnet_d3", (20, 50), 25),
    (SMALLEST, False, 28, "convnet_d3", (1, 2), 2),
]


@pytest.mark.parametrize("found, accelerator, size, network, ipcs, batch", CASES)
def test_what_is_derived(found, accelerator, size, network, ipcs, batch):
    config = derive.derive(found, accelerator)
    assert config.data.image_size == size
    assert config.student.network.name == config.teacher.network.name == network
    assert config.select.ipcs == ipcs
    assert config.student.batch_size == batch
    assert config.data.source == "folder:birds" and config.name == "own_birds"


@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("found", ALL)
def test_settings_are_valid_and_fit_the_data(found, accelerator):
    made = settings.from_config(derive.derive(found, accelerator))
    smallest = min(found.counts)
    assert max(made.select.ipcs) <= smallest // 2
    least = min(made.select.ipcs) * len(found.classes)
    assert made.student.batch_size <= least
    assert "random" in made.select.methods
    assert made.data.image_size <= found.sides[1]
    # A scoring run has a step for each of its nine snapshots.
    assert made.student.epochs * least // made.student.batch_size >= 9


@pytest.mark.parametrize("found", ALL)
def test_a_cpus_run_has_at_least_thirty_epochs_and_at_most_two_hundred(found):
    config = derive.derive(found, False)
    assert 30 <= config.student.epochs <= 200


def test_small_batches_have_no_batch_norm():
    for found, norm in ((UNEQUAL, "batch"), (TWO, "group")):
        assert derive.derive(found, True).student.network.resnet.norm == norm


def test_an_accelerators_run_is_bounded_too():
    many = derive.derive(scan([500] * 100), True)
    assert derive.derive(TWO, True).student.epochs == 200 > many.student.epochs


def test_fewer_images_are_trained_for_more_epochs():
    epochs = [
        derive.derive(found, False).student.epochs for found in (MIXED, UNEQUAL, TWO)
    ]
    assert epochs == sorted(epochs) and epochs[0] < epochs[-1]


def test_a_large_set_is_thinned_on_a_cpu_only():
    assert derive.derive(LARGE, False).data.pool == 7000
    assert derive.derive(LARGE, True).data.pool == 0
    assert derive.derive(UNEQUAL, False).data.pool == 0


def test_budgets_fit_the_smallest_class_after_thinning():
    found = scan([20, 20_000])
    config = derive.derive(found, False)
    assert config.data.pool == 7000
    # Seven of the twenty are left, one of them validates.
    assert config.select.ipcs == (1, 2)


def test_only_colour_images_are_mirrored():
    assert derive.derive(UNEQUAL, False).augment.flip
    grey = derive.derive(GREY, False)
    assert not grey.augment.flip and grey.augment.pad == 1


def test_images_that_do_not_fit_in_memory_are_streamed():
    huge = scan([600] * 100, (100, 400, 900))
    config = derive.derive(huge, True)
    assert config.data.stream and config.data.image_size == 224
    assert not derive.derive(MIXED, True).data.stream
    arrays = scan([600] * 100, (224,) * 3, source="npz:huge.npz", square=True)
    assert not derive.derive(arrays, True).data.stream  # they are in memory anyway


@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("found", ALL)
def test_every_remark_names_a_flag_that_exists(found, accelerator):
    config = derive.derive(found, accelerator)
    head, facts, *remarks = config.remarks
    assert "derived" in head and facts.startswith("found ")
    for remark in remarks:
        flags = re.findall(r"--([\w.]+)=([^ ;]+)", remark)
        assert flags, remark
        for key, value in flags:
            section = config
            for part in key.split("."):
                section = section[part]
            if isinstance(section, tuple):
                section = ",".join(map(str, section))
            assert str(section) != value, f"{key} is {value} already"
    changed = " ".join(remarks)
    for key in ("data.image_size", "student.epochs", "select.ipcs", "regimes"):
        assert f"--{key}=" in changed


def test_remarks_tell_why():
    text = "\n".join(derive.derive(UNEQUAL, False).remarks)
    assert "image size 32 px: the median side is 180 px" in text
    assert "the smallest class, 'c0', has 20 to select from" in text
    assert "from 24 ('c0') to 400 ('c7') a class" in text


@pytest.mark.parametrize(
    "found, message",
    [
        (scan([50]), "has the class 'c0' alone, allowed are at least two"),
        (scan([50, 5, 3]), r"2 of 3 classes .* fewer than 6 .*'c1' \(5\), 'c2' \(3\)"),
        (scan([50, 50], (4, 7, 9)), "median side of 7 px, allowed are at least 8"),
    ],
)
def test_what_is_refused(found, message):
    with pytest.raises(InputError, match=message):
        derive.derive(found, False)


@pytest.mark.parametrize("found", ALL)
def test_smoke_is_small(found):
    made = settings.from_config(derive.smoke(derive.derive(found, False)))
    assert made.name == "own_birds_smoke" and made.data.image_size == 8
    assert len(made.select.ipcs) == len(made.regimes) == 1
    assert made.student.network.name == "mlp"
    assert np.prod(made.student.batch_size) <= made.select.ipcs[0] * len(found.classes)
