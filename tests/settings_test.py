"""Settings: every wrong value is refused with its key, value and what is allowed."""

import dataclasses

import pytest

from ddjax import models, settings
from ddjax.errors import InputError
from ddjax.losses.kl_divergence import Kl
from ddjax.losses.mse_gt import MseGt


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


def test_settings_are_frozen():
    built = settings.Settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        built.name = "other"


def test_every_default_has_the_declared_type():
    for field in dataclasses.fields(settings.Student):
        value = getattr(settings.Settings().student, field.name)
        if isinstance(field.type, type):
            assert isinstance(value, field.type), field.name


FILE = {"teacher__path": "w.pth", "teacher__classes": "c.txt"}


@pytest.mark.parametrize(
    "override, message",
    [
        ({"student__temperature": 0.0}, "student.temperature: found 0.0"),
        ({"student__temperature": float("nan")}, "student.temperature: found nan"),
        ({"student__optimizer__zeta": -1.0}, "student.optimizer.zeta: found -1.0"),
        ({"student__optimizer__name": "adam"}, "one of adamw, sgd"),
        ({"student__optimizer__schedule": "exp"}, "one of constant, step, cosine"),
        (
            {"student__optimizer__step_at": (0.5, 1.0)},
            "student.optimizer.step_at: found",
        ),
        ({"student__optimizer__step_at": (0.5, 0.4)}, "each above the last"),
        ({"student__optimizer__step_factor": 2.0}, "optimizer.step_factor: found 2.0"),
        ({"augment__cutmix_regimes": ("har",)}, "augment.cutmix_regimes: found 'har'"),
        ({"student__optimizer__ema": 1.0}, "student.optimizer.ema: found 1.0"),
        ({"student__batch_size": 0}, "student.batch_size: found 0"),
        ({"student__learning_rates": ()}, "a tuple of 1 to 100"),
        ({"student__learning_rates": (0.1, -1.0)}, "learning_rates: found -1.0"),
        ({"student__passes": 10}, "exactly one of the two > 0"),
        ({"student__epochs": "ten"}, "student.epochs: found 'ten' of type str"),
        ({"student__epochs": 1.5}, "student.epochs: found 1.5 of type float"),
        ({"student__epochs": True}, "student.epochs: found True of type bool"),
        ({"student__label_smoothing": 2.0}, "student.label_smoothing: found 2.0"),
        ({"teacher__epochs": 0}, "teacher.epochs: found 0"),
        ({"teacher__learning_rate": 0.0}, "teacher.learning_rate: found 0.0"),
        ({"teacher__snapshots": (0,)}, "teacher.snapshots: found 0"),
        ({"teacher__snapshots": (31,)}, "teacher.snapshots: found 31"),
        ({"teacher__snapshots": (2, 2)}, "teacher.snapshots: .* none twice"),
        ({"teacher__epoch": 2}, "teacher.epoch: found 2, allowed is 0 or one of 30"),
        ({"teacher__path": "w.pth"}, "teacher.classes: found '', allowed is a text"),
        ({"teacher__classes": "c.txt"}, "teacher.classes: found 'c.txt', .* nothing"),
        ({"teacher__mean": (0.5,)}, r"teacher.mean: found \(0.5,\), .* nothing"),
        (FILE | {"teacher__mean": (float("nan"),)}, "teacher.mean: found nan"),
        (FILE | {"teacher__std": (0.0,)}, "teacher.std: found 0.0"),
        ({"data__validation": 0.0}, "data.validation: found 0.0"),
        ({"data__image_size": -1}, "data.image_size: found -1"),
        ({"select__ipcs": (0,)}, "select.ipcs: found 0"),
        ({"select__ipcs": (2, 2)}, "select.ipcs: .* none twice"),
        ({"select__ipcs": 3}, "select.ipcs: found 3, allowed is a tuple"),
        (
            {"select__el2n_best_window__starts": (1.5,)},
            "el2n_best_window.starts: found 1.5",
        ),
        ({"select__cad__span": 1}, "select.cad.span: found 1"),
        ({"select__cad__windows": 0}, "select.cad.windows: found 0"),
        (
            {"select__cad__quantity": "margin"},
            "cad.quantity: .* one of true_prob, el2n",
        ),
        (
            {"select__cad_prune__keep": "top"},
            "cad_prune.keep: .* one of highest, lowest",
        ),
        ({"select__forgetting__never_learned": "no"}, "of max, infinity, zero"),
        ({"select__aum__margins": "softmax"}, "aum.margins: .* of logit, probability"),
        ({"select__runs": 0}, "select.runs: found 0"),
        ({"select__features": "resnet"}, "select.features: found 'resnet', .* a .npy"),
        ({"select__ccs__drop_hardest": 1.0}, "select.ccs.drop_hardest: found 1.0"),
        ({"select__d2__neighbors": 0}, "select.d2.neighbors: found 0"),
        ({"select__d2__gamma": -0.1}, "select.d2.gamma: found -0.1"),
        ({"select__dual_beta__c": 0.0}, "select.dual_beta.c: found 0.0"),
        ({"protocol__seeds": ()}, "protocol.seeds: .* a tuple of 1 to"),
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


@pytest.mark.parametrize(
    "key",
    ["teacher__path", "images", "data__data_dir", "select__features"],
)
def test_a_home_folder_is_what_is_meant(key, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    value = changed(**{key: "~/x.npy"})
    for name in key.split("__"):
        value = getattr(value, name)
    assert value == "/home/me/x.npy"


def test_network_options_are_those_of_the_named_kind():
    hidden = {"student__network__mlp__hidden": (3,)}
    built = changed(student__network__name="mlp", **hidden)
    assert built.student.network.options() == {"hidden": (3,)}
    assert built.teacher.network.options() == {}
    # Another network's options do not leak.
    assert (
        changed(student__network__name="vgg11", **hidden).student.network.options()
        == {}
    )
    narrow = changed(
        student__network__name="resnet_ap10",
        student__network__resnet__width=2,
        student__network__resnet_ap__width=4,
        student__network__dtype="bfloat16",
    )
    assert narrow.student.network.options() == {"width": 4, "dtype": "bfloat16"}


def test_every_network_has_the_section_of_its_family():
    for name, model in models.MODELS.items():
        network = settings.Network(name)
        assert network.family == model.family
        assert getattr(network, model.family) == model.options(), name
        assert network.options() == {}
        assert network.arguments() == {
            "dtype": "float32",
            **dataclasses.asdict(model.options()),
        }
    assert settings.Network("unknown").family == ""


def test_optimizer_tells_the_fields_that_matter():
    adamw = settings.Optimizer(name="adamw", schedule="constant")
    assert (
        adamw.used()
        == settings.Optimizer(schedule="constant", zeta=2, momentum=0).used()
    )
    assert not {"zeta", "momentum", "nesterov"} & adamw.used().keys()
    sgd = settings.Optimizer(name="sgd", schedule="cosine").used()
    assert {"zeta", "momentum", "nesterov", "weight_decay", "clip"} <= sgd.keys()
    assert not {"step_at", "step_factor"} & sgd.keys()


def test_steps_are_told_where_they_are_not_the_old_ones():
    # The default's fields are those of artifacts that were made before.
    old = settings.Optimizer(schedule="step").used()
    assert not {"step_at", "step_factor"} & old.keys()
    two = settings.Optimizer(schedule="step", step_at=(0.5, 0.75)).used()
    assert two == old | {"step_at": (0.5, 0.75), "step_factor": 0.1}
    assert "step_factor" in settings.Optimizer(schedule="step", step_factor=0.2).used()


def labelled(**changes):
    config = settings.defaults()
    settings.add_labels(config, "mine", **changes)
    return settings.from_config(config)


def test_options_of_a_loss_are_recorded_where_they_are_not_its_defaults():
    labels = labelled(loss="mse_gt", mse_gt=MseGt(0.025)).labels["mine"]
    assert labels.used() == {"loss": "mse_gt"}
    labels = labelled(loss="mse_gt", mse_gt=MseGt(0.1)).labels["mine"]
    assert labels.used() == {"loss": "mse_gt", "mse_gt.gt_weight": 0.1}


def test_fixed_labels_take_a_loss_of_one_view():
    labels = labelled(regime="soft", loss="mse_gt", mse_gt=MseGt(0.1)).labels["mine"]
    assert labels.used() == {"loss": "mse_gt", "mse_gt.gt_weight": 0.1}


def test_add_labels_names_a_regime():
    built = labelled(codec="fp16", pool_epochs=3)
    assert built.regimes == ("hard", "soft", "soft_kd", "mine")
    assert built.labels["mine"].codec == "fp16"
    assert built.labels["mine"].used() == {"codec": "fp16", "pool_epochs": 3}
    assert not built.labels["mine"].plain
    assert all(built.labels[name].plain for name in ("hard", "soft", "soft_kd"))


def test_labels_of_another_temperature_are_plain():
    assert labelled(temperature=4.0).labels["mine"].plain


@pytest.mark.parametrize(
    ("slc", "pool", "expected"), [(0, 7, 7), (35, 0, 3), (0, 0, 0)]
)
def test_labels_pool(slc, pool, expected):
    assert settings.Labels(slc=slc, pool_epochs=pool).pool(10) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regime": "harder"}, "labels.mine.regime: found 'harder', allowed is one of"),
        ({"loss": "mae"}, "labels.mine.loss: found 'mae', allowed is one of kl"),
        ({"schedule": "hold"}, "labels.mine.schedule: found 'hold'"),
        ({"temperature": -1.0}, "labels.mine.temperature: found -1.0"),
        ({"slc": 5}, "labels.mine.slc: found 5, allowed is at least the 10 images"),
        ({"slc": 50, "pool_epochs": 2}, "labels.mine.slc: found 50, allowed is 0"),
        ({"batch_norm": "batch"}, "labels.mine.batch_norm: found 'batch'"),
        ({"regime": "hard", "codec": "fp16"}, "labels.mine.codec: found 'fp16'"),
        ({"loss": "crld", "codec": "fp16"}, "labels.mine.codec: found 'fp16'"),
        ({"regime": "soft", "schedule": "hald"}, "labels.mine.schedule: found 'hald'"),
        ({"regime": "soft", "loss": "crld"}, "labels.mine.loss: found 'crld'"),
        ({"regime": "hard", "loss": "dkd"}, "labels.mine.loss: found 'dkd'"),
        (
            {"ensemble": ("me",)},
            "labels.mine.ensemble: found 'me', allowed is one of",
        ),
        (
            {"ensemble_mean": "weighted", "ensemble": ("teacher",)},
            "labels.mine.ensemble_weights",
        ),
        ({"hard_smoothing": 1.5}, "labels.mine.hard_smoothing: found 1.5"),
        ({"mse_gt": MseGt(-0.1)}, "labels.mine.mse_gt.gt_weight: found -0.1, allowed"),
        (
            {"mse_gt": MseGt(0.1)},
            "labels.mine.mse_gt.gt_weight: found 0.1, allowed is 0.025 with the loss",
        ),
        (
            {"loss": "dkd", "kl": Kl(dynamic_temperature=True)},
            "labels.mine.kl.dynamic_temperature: found True, allowed is False with",
        ),
        (
            {"loss": "mse_gt", "temperature": 4.0},
            "labels.mine.temperature: found 4.0, allowed is 0 with the loss mse_gt",
        ),
    ],
)
def test_labels_bad_input(changes, message):
    with pytest.raises(InputError) as error:
        labelled(**changes)
    assert str(error.value).startswith(message)


def test_an_ensemble_s_teacher_is_named_in_what_is_refused():
    config = settings.defaults()
    settings.add_teacher(config, "small")
    config.ensemble.small.optimizer.momentum = 2.0
    message = "^ensemble.small.optimizer.momentum: found 2.0"
    with pytest.raises(InputError, match=message):
        settings.from_config(config)


def test_add_teacher_makes_a_ensemble():
    config = settings.defaults()
    settings.add_teacher(config, "small")
    config.ensemble.small.network.name = "mlp"
    settings.add_labels(config, "both", ensemble=("teacher", "small"))
    built = settings.from_config(config)
    assert built.ensemble["small"].network.name == "mlp"


def test_a_layer_of_a_file_is_refused():
    with pytest.raises(InputError, match="select.layer: found 'norm0', .* from the fi"):
        settings.Settings(select=settings.Select(features="a.npy", layer="norm0"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({}, "select.imported.x.scores: found '', allowed is a path, or else one"),
        ({"scores": "a", "subset": "b"}, r"found 'a', .* \(found 'b'\), not both"),
        ({"scores": "a", "keep": "best"}, "x.keep: found 'best', .* highest, lowest"),
    ],
)
def test_selections_from_files_that_make_no_sense_are_refused(changes, message):
    config = settings.defaults()
    with pytest.raises(InputError, match=message):
        settings.add_selection(config, "x", **changes)
        settings.from_config(config)


def test_add_selection_adds_a_method():
    config = settings.defaults()
    settings.add_selection(config, "theirs", scores="a.csv", column="aum")
    built = settings.from_config(config).select
    assert built.methods[-1] == "theirs"
    assert built.imported == {"theirs": settings.Imported(scores="a.csv", column="aum")}


@pytest.mark.parametrize("path", ["a/w.safetensors", "w.pth", "w.pth.tar", "w.bin"])
def test_a_path_of_weights_is_told_from_a_bundle(path):
    assert settings.Teacher(path=path, classes="c.txt").is_file
    assert not settings.Teacher(path=path.rpartition(".")[0] + "-teacher").is_file


def test_the_last_epoch_is_there_without_a_snapshot():
    assert settings.Teacher(epochs=5, epoch=5).epoch == 5
    assert settings.Teacher(epochs=5, epoch=2, snapshots=(2,)).epoch == 2
    assert settings.Teacher(path="bundle", epoch=99).epoch == 99  # the bundle knows


def test_add_transfer_names_the_network_after_its_entry():
    config = settings.defaults()
    settings.add_transfer(config, "resnet18", width=8)
    settings.add_transfer(config, "thin", name="mlp", hidden=(4,))
    built = settings.from_config(config).transfer
    assert built["resnet18"].network == settings.named("resnet18", width=8)
    assert built["thin"].network.options() == {"hidden": (4,)}
    assert built["thin"].network.name == "mlp" and built["thin"].batch_size == 0
