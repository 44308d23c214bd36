"""Settings: every wrong value is refused with its key, value and what is allowed."""

import dataclasses

import pytest

from ddjax import settings
from ddjax.errors import InputError


def changed(**overrides):
    config = settings.defaults()
    with config.unlocked():
        for key, value in overrides.items():
            section, _, name = key.replace("__", ".").rpartition(".")
            target = config
            for part in section.split(".") if section else []:
                target = target[part]
            target._fields[name] = value
    return settings.from_config(config)


def test_defaults_are_valid_and_round_trip():
    built = settings.from_config(settings.defaults())
    assert built == settings.Settings()


def test_settings_are_hashable_and_frozen():
    built = settings.Settings()
    assert hash(built) == hash(settings.Settings())
    with pytest.raises(dataclasses.FrozenInstanceError):
        built.name = "other"


def test_every_default_has_the_declared_type():
    for field in dataclasses.fields(settings.Student):
        value = getattr(settings.Settings().student, field.name)
        if isinstance(field.type, type):
            assert isinstance(value, field.type), field.name


@pytest.mark.parametrize(
    "override, message",
    [
        ({"student__temperature": 0.0}, "student.temperature: found 0.0"),
        ({"student__temperature": float("nan")}, "student.temperature: found nan"),
        ({"student__optimizer__zeta": -1.0}, "student.optimizer.zeta: found -1.0"),
        ({"student__optimizer__name": "adam"}, "one of adamw, sgd"),
        ({"student__optimizer__schedule": "exp"}, "one of constant, step, cosine"),
        ({"student__optimizer__ema": 1.0}, "student.optimizer.ema: found 1.0"),
        ({"student__batch_size": 0}, "student.batch_size: found 0"),
        ({"student__learning_rates": ()}, "at least one learning rate"),
        ({"student__learning_rates": (0.1, -1.0)}, "learning_rates: found -1.0"),
        ({"student__passes": 10}, "exactly one of the two must be > 0"),
        ({"student__epochs": "ten"}, "student.epochs: found 'ten' of type str"),
        ({"student__epochs": 1.5}, "student.epochs: found 1.5 of type float"),
        ({"student__epochs": True}, "student.epochs: found True of type bool"),
        ({"student__label_smoothing": 2.0}, "student.label_smoothing: found 2.0"),
        ({"teacher__epochs": 0}, "teacher.epochs: found 0"),
        ({"teacher__learning_rate": 0.0}, "teacher.learning_rate: found 0.0"),
        ({"data__validation": 0.0}, "data.validation: found 0.0"),
        ({"data__image_size": -1}, "data.image_size: found -1"),
        ({"select__ipcs": (0,)}, "select.ipcs: found 0"),
        ({"select__ipcs": (2, 2)}, "every entry once"),
        ({"select__ipcs": 3}, "select.ipcs: found 3, allowed is a tuple"),
        ({"select__window_starts": (1.5,)}, "select.window_starts: found 1.5"),
        ({"select__cad_span": 1}, "select.cad_span: found 1"),
        ({"protocol__seeds": ()}, "at least one seed"),
        ({"protocol__search_seeds": 9}, "protocol.search_seeds: found 9"),
        ({"protocol__select_on": "train"}, "one of validation, test"),
        ({"sweep__driver": "pmap"}, "one of auto, vmap, loop, mesh"),
        ({"sweep__members": 0}, "sweep.members: found 0"),
        ({"augment__resized_crop": (0.5,)}, "augment.resized_crop: found"),
        ({"student__epoch": 3}, "student.epoch: unknown key, allowed here are"),
        ({"student": 3}, "student: found 3, allowed is a section"),
    ],
)
def test_from_config_refuses(override, message):
    with pytest.raises(InputError, match=message):
        changed(**override)


def test_from_config_takes_an_integer_for_a_number():
    assert changed(student__temperature=4).student.temperature == 4.0


def test_network_options_are_those_of_the_named_kind():
    built = changed(student__network__name="mlp")
    assert built.student.network.options() == {"hidden": (128, 128)}


def test_optimizer_tells_the_fields_that_matter():
    adamw = settings.Optimizer(name="adamw", schedule="constant")
    assert (
        adamw.used()
        == settings.Optimizer(schedule="constant", zeta=2, momentum=0).used()
    )
    assert not {"zeta", "momentum", "nesterov"} & adamw.used().keys()
    sgd = settings.Optimizer(name="sgd", schedule="cosine").used()
    assert {"zeta", "momentum", "nesterov", "weight_decay", "clip"} <= sgd.keys()
