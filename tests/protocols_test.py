"""Protocols: what a declaration sets, and where a new one is found."""

import dataclasses

import pandas as pd
import pytest

from ddjax import presets
from ddjax.cli import catalogue
from ddjax.protocols import PROTOCOLS, Protocol
from ddjax.report import published
from ddjax.settings import defaults, from_config

TRIAL = Protocol(
    meaning="a trial: hard labels, SGD",
    source="nobody",
    settings={
        "augment.flip": True,
        "student.epochs": 7,
        "student.batch_size": 64,
        "student.optimizer.name": "sgd",
        "regimes": ("hard",),
    },
    varies=lambda classes, grey: {"augment.pad": 1 if grey else classes},
    published=(("trial_key", "hard", "trial"),),
)


def applied(protocol, classes=10, grey=False, ipc=10):
    config = defaults()
    protocol.apply(config, classes, grey, ipc)
    return from_config(config)


def test_a_protocol_sets_what_it_declares_and_nothing_else():
    found = applied(TRIAL)
    assert (found.student.epochs, found.student.batch_size) == (7, 64)
    assert found.augment.flip and found.regimes == ("hard",)
    untouched = from_config(defaults())
    assert found.teacher == untouched.teacher and found.select == untouched.select


def test_a_batch_is_at_most_the_whole_set():
    assert applied(TRIAL, classes=3, ipc=2).student.batch_size == 6


def test_what_varies_follows_the_data():
    assert applied(TRIAL, grey=True).augment.pad == 1
    assert applied(TRIAL, classes=5).augment.pad == 5
    weights = {
        classes: applied(PROTOCOLS["g_vbsm"], classes)
        .labels["soft_kd"]
        .mse_gt.gt_weight
        for classes in (10, 100, 200, 1000)
    }
    assert weights == {10: 0.15, 100: 0.15, 200: 0.1, 1000: 0.1}


def test_steps_of_frepo_follow_from_the_images_of_a_set():
    def steps(classes, ipc):
        found = applied(PROTOCOLS["frepo"], classes, ipc=ipc).student
        images = classes * ipc
        assert found.optimizer.warmup * found.epochs * images == pytest.approx(
            500 * found.batch_size
        )
        return found.epochs * images // found.batch_size

    assert [steps(10, ipc) for ipc in (1, 10, 50)] == [1000, 2000, 5000]
    assert [steps(100, ipc) for ipc in (1, 10, 50)] == [2000, 10_000, 40_000]
    assert steps(10, 20) == 20_000 and steps(1000, 1) == 10_000
    grey, colour = (
        applied(PROTOCOLS["frepo"], grey=grey, ipc=1) for grey in (True, False)
    )
    paddings = [s.student.network.convnet.first_padding for s in (grey, colour)]
    assert paddings == [3, 1]
    assert "flip" in colour.augment.dsa and "flip" not in grey.augment.dsa
    assert grey.labels["soft"].loss == "mse_gt"
    assert "With 100 images:\n  student.epochs = 2000" in PROTOCOLS["frepo"].text()


def test_a_new_protocol_is_listed_applied_and_matched(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "trial", TRIAL)
    assert catalogue.rows("protocols")["protocols/trial"] == TRIAL.meaning
    config = presets.under_protocol("trial", "cifar10")
    assert config.name == "trial_cifar10" and config.student.epochs == 7
    row = {"source": "rd3", "table": "1", "dataset": "CIFAR-10", "ipc": 10}
    row |= {"method": "Random", "student": "ResNet-18", "labels": "hard", "loss": "ce"}
    row |= {"protocol": "trial_key", "setting": "trial", "metric": "top1_percent"}
    other = row | {"setting": "", "method": "RDED"}
    monkeypatch.setattr(published, "_rows", lambda: pd.DataFrame([row, other]))
    where = {"shape": (32, 32, 3), "classes": 10, "ipc": 10, "regime": "hard"}
    found = published.published(from_config(config), **where)
    assert found["method"].tolist() == ["Random"]
    config.student.epochs = 8
    assert not len(published.published(from_config(config), **where))


def test_every_declaration_is_read_by_settings():
    for name, protocol in PROTOCOLS.items():
        assert protocol.meaning and protocol.source, name
        assert set(applied(protocol).regimes) <= {"hard", "soft", "soft_kd"}, name


def test_a_setting_that_is_none_is_refused():
    wrong = dataclasses.replace(TRIAL, settings={**TRIAL.settings, "student.epoch": 1})
    with pytest.raises((KeyError, ValueError), match="epoch"):
        applied(wrong)
