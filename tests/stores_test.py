"""Stored labels on the road: replayed, shared, copied to codecs, resumed."""

import json

import numpy as np
import pytest
import tiny
from runs import created, rows_of

from ddjax import pipeline
from ddjax.errors import InputError
from ddjax.labels import LabelStore, labeller
from ddjax.settings import add_labels, add_teacher, from_config

FORMATS = {
    "fp32": {"codec": "fp32"},
    "fp16": {"codec": "fp16"},
    "hald": {"codec": "fp16", "slc": 4, "schedule": "hald"},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


def config(source, regimes=("soft_kd",), formats=FORMATS, **changes):
    made = tiny.config(
        source,
        **{
            "regimes": regimes,
            "select__methods": ("random",),
            "augment__pad": 1,
            "augment__cutmix": 1.0,
            **changes,
        },
    )
    for name, fields in formats.items():
        add_labels(made, name, **fields)
    return made


@pytest.fixture(scope="module")
def done(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("done") / "run"
    pipeline.run(from_config(config(source)), folder)
    return folder


def students(folder, regime):
    rows = [row for row in rows_of(folder) if row["regime"] == regime]
    return [row for row in rows if row["method"] == "random"]


def assert_same_losses(a, b):
    """The curves agree up to their rounding; short runs leave points empty."""
    one, other = (np.array(row["curve"], float) for row in (a, b))
    np.testing.assert_allclose(one, other, atol=2e-5)


def stores(folder, codec):
    found = []
    for path in sorted(folder.glob("artifacts/store-*/manifest.json")):
        manifest = json.loads(path.read_text())
        if manifest["settings"]["codec"] == codec:
            found.append((path.parent, manifest))
    return found


@pytest.mark.slow
def test_replay_gives_the_students_of_soft_kd(done):
    pairs = zip(students(done, "soft_kd"), students(done, "fp32"), strict=True)
    for asked, replayed in pairs:
        assert asked["accuracy"] == replayed["accuracy"]
        assert asked["val_accuracy"] == replayed["val_accuracy"]
        assert_same_losses(asked, replayed)


def test_full_data_stand_beside_plain_labels_only(done):
    full = {row["regime"] for row in rows_of(done) if row["method"] == "full"}
    assert full == {"soft_kd"}


def test_members_count_the_bytes_of_their_labels(done):
    # 20 epochs of 2 images of 3 classes; float16, and float32 for the uncompressed.
    labels = 20 * 6 * 3
    expected = {"fp32": 4 * labels, "fp16": 2 * labels, "hald": 2 * labels // 10}
    for regime, size in expected.items():
        for row in students(done, regime):
            assert row["label_bytes"] == size
            assert row["label_disk_bytes"] > 0
    assert all(row["label_bytes"] is None for row in students(done, "soft_kd"))


def test_one_store_a_seed_and_codec_copied_from_the_uncompressed(done):
    # HALD with SLC 4 at IPC 2 needs two epochs, and shares its views with nobody.
    fine = {manifest["address"]: manifest for _, manifest in stores(done, "fp32")}
    coarse = stores(done, "fp16")
    epochs = sorted(m["settings"]["views"]["epochs"] for _, m in coarse)
    assert epochs == [2, 2, 20, 20] and len(fine) == 2
    for path, manifest in coarse:
        if manifest["settings"]["views"]["epochs"] == 2:
            assert "uncompressed" not in manifest["parents"]
            assert manifest["cost"]["forward_passes"] == 2 * 6
            continue
        parent = fine[manifest["parents"]["uncompressed"]]
        assert parent["settings"]["views"] == manifest["settings"]["views"]
        assert manifest["cost"]["forward_passes"] == 0
        folder = path.parent / f"store-{parent['address']}" / "store"
        store, source = LabelStore.open(path / "store"), LabelStore.open(folder)
        expected = source.read(1, source.example_ids).astype(np.float16)
        np.testing.assert_array_equal(store.read(1, source.example_ids), expected)
    for manifest in fine.values():
        views = manifest["settings"]["views"]["epochs"] * 6
        assert manifest["cost"]["forward_passes"] == views


def test_stores_say_what_they_depend_on(done):
    path, manifest = stores(done, "fp32")[0]
    identity = LabelStore.open(path / "store").identity
    assert identity == manifest["settings"]["views"]
    assert identity["classes"] == list(tiny.CLASSES)
    assert identity["recipe"]["cutmix"] == 1.0
    with pytest.raises(InputError, match="recipe.cutmix"):
        recipe = identity["recipe"] | {"cutmix": 0.5}
        LabelStore.open(path / "store", {"recipe": recipe})


def test_rerun_reuses_the_stores(source, done):
    before = created(done)
    pipeline.run(from_config(config(source)), done)
    assert created(done) == before


def test_interrupted_writing_is_completed(source, done, tmp_path, monkeypatch):
    written = LabelStore.write_payload

    def write(self, epochs, example_ids, payload):
        if 7 in epochs:
            raise KeyboardInterrupt
        written(self, epochs, example_ids, payload)

    settings = from_config(config(source, (), {"fp32": FORMATS["fp32"]}))
    with monkeypatch.context() as patch:
        patch.setattr(LabelStore, "write_payload", write)
        patch.setattr(labeller, "_WRITE_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            pipeline.run(settings, tmp_path / "run")
    asked = []
    labels = labeller.Labeller.labels
    monkeypatch.setattr(
        labeller.Labeller,
        "labels",
        lambda self, epochs, codec: asked.append(epochs) or labels(self, epochs, codec),
    )
    pipeline.run(settings, tmp_path / "run")
    # The first seed's epochs before the seventh are there; the second seed's are not.
    assert asked == [list(range(7, 20)), list(range(20))]
    for mine, whole in zip(
        students(tmp_path / "run", "fp32"), students(done, "fp32"), strict=True
    ):
        assert mine["curve"] == whole["curve"]
    assert list((tmp_path / "run" / "partial").glob("store-*/store")) == []


def test_ensemble_labels_by_several_teachers(source, tmp_path):
    made = config(source, (), {})
    add_teacher(made, "linear")
    made.ensemble.linear.network.name = "mlp"
    made.ensemble.linear.network.mlp.hidden = ()
    made.ensemble.linear.epochs = 2
    made.ensemble.linear.batch_size = 12
    both = {"ensemble": ("teacher", "linear"), "ensemble_mean": "frobenius"}
    add_labels(made, "asked", **both)
    add_labels(made, "stored", **both, codec="fp32")
    made.protocol.seeds = (0,)
    pipeline.run(from_config(made), tmp_path / "run")
    assert len(list((tmp_path / "run").glob("artifacts/teacher-*"))) == 2
    (_, manifest), *others = stores(tmp_path / "run", "fp32")
    assert set(manifest["settings"]["views"]["teachers"]) == {"teacher", "linear"}
    assert manifest["settings"]["views"]["block"] == 6 and not others
    (asked,) = students(tmp_path / "run", "asked")
    (stored,) = students(tmp_path / "run", "stored")
    assert_same_losses(asked, stored)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"codec": "zip"}, "codec: found 'zip', known: fp32"),
        ({"codec": "topk:k=4"}, "k"),
        ({"codec": "fp16", "slc": 1}, "labels.mine.slc: found 1, allowed is at least"),
    ],
)
def test_bad_labels_end_before_anything_is_written(source, tmp_path, fields, message):
    with pytest.raises(InputError, match=message):
        made = config(source, (), {"mine": fields})
        pipeline.run(from_config(made), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_codec_that_learns_is_fitted_once_a_store(source, tmp_path):
    spec = "vq:codes=4,groups=1,steps=3"
    made = config(source, (), {"mine": {"codec": spec, "pool_epochs": 2}})
    made.protocol.seeds = (0,)
    pipeline.run(from_config(made), tmp_path / "run")
    ((path, manifest),) = stores(tmp_path / "run", spec)
    # Straight from the teacher, and once more to fit the codec.
    assert manifest["cost"]["forward_passes"] == 2 * 12
    store = LabelStore.open(path / "store")
    assert not (path / "store" / "encoder.npz").exists()
    assert np.isfinite(store.read(1, store.example_ids)).all()
    (student,) = students(tmp_path / "run", "mine")
    # 12 labels of two bits, and a table of four labels of three float16 logits.
    assert student["label_bytes"] == 12 * 2 / 8 + 4 * 3 * 2
