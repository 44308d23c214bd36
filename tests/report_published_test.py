"""Published numbers: what matches a run, and what must not."""

import pathlib

import numpy as np
import pages
import pandas as pd
import pytest

from ddjax import report, settings
from ddjax.presets import under_protocol
from ddjax.protocols import PROTOCOLS
from ddjax.report import published

SETUP = pathlib.Path(__file__).parents[1] / "setup.py"
CIFAR = {"shape": (32, 32, 3), "classes": 10}
IMAGENET = {"shape": (224, 224, 3), "classes": 1000}


def found(config, regime="soft_kd", ipc=10, facts=CIFAR):
    rows = published.published(
        settings.from_config(config), **facts, ipc=ipc, regime=regime
    )
    return {row.method: row.value for row in rows.itertuples()}


def test_rd3_on_cifar10_is_table_1():
    rows = found(under_protocol("rd3_resnet18", "cifar10"))
    expected = {"SRe2L": 29.7, "CDA": 30.6, "G-VBSM": 31.5, "DWA": 33.1}
    expected |= {"EDC": 40.5, "D4M": 34.7, "RDED": 37.3, "Random": 42.3}
    assert rows == expected
    assert found(under_protocol("rd3_resnet18", "cifar10"), ipc=20) == {}
    # A batch is at most the set: ten images at one a class.
    one = under_protocol("rd3_resnet18", "cifar10")
    assert found(one, ipc=1) == {}
    one.student.batch_size = 10
    assert found(one, ipc=1)["SRe2L"] == 16.2


def test_each_protocol_finds_its_own_numbers():
    assert (
        found(under_protocol("pca", "imagenet"), "hard", facts=IMAGENET)["RDED"] == 11.5
    )
    cross = under_protocol("rd3_cross", "imagenet")
    cross.student.network.name = "swin_v2_t"
    rows = found(cross, facts=IMAGENET)
    assert "RDED" in rows and "Random" not in rows
    small = under_protocol("hard_truths_small", "cifar100")
    small.student.network.name = "convnet_d3"
    rows = found(small, "hard", facts=CIFAR | {"classes": 100})
    assert rows["Random"] == 18.64 and rows["CAD-Prune"] == 22.95
    assert "CA2D" not in rows  # printed for a setting of its own


@pytest.mark.parametrize(
    "key, value",
    [
        ("student.epochs", 300),
        ("student.batch_size", 100),
        ("student.learning_rates", (1e-3, 1e-2)),
        ("student.optimizer.zeta", 2.0),
        ("student.optimizer.weight_decay", 0.0),
        ("student.temperature", 4.0),
        ("student.scale_by_t2", True),
        ("student.network.name", "resnet34"),
        ("student.network.resnet.width", 32),
        ("augment.resized_crop", (0.08, 1.0)),
        ("augment.cutmix", 0.0),
        ("augment.cutmix_regimes", ("hard",)),
        ("augment.patch_shuffle", 0),
        ("labels.soft_kd.loss", "mse_gt"),
        ("labels.soft_kd.temperature", 4.0),
        ("data.source", "tfds:cifar100"),
        ("data.pool", 1000),
    ],
)
def test_one_other_setting_and_nothing_matches(key, value):
    config = under_protocol("rd3_resnet18", "cifar10")
    config.update_from_flattened_dict({key: value})
    assert found(config) == {}


def test_other_images_or_labels_match_nothing():
    config = under_protocol("rd3_resnet18", "cifar10")
    assert found(config, facts={"shape": (16, 16, 3), "classes": 10}) == {}
    assert found(config, "hard") == found(config, "soft") == {}


def test_what_hard_labels_do_not_use_does_not_matter():
    config = under_protocol("pca", "imagenet")
    config.student.temperature = 4.0
    assert "PCA" in found(config, "hard", facts=IMAGENET)
    config.augment.cutmix_regimes = ("hard", "soft_kd")
    assert found(config, "hard", facts=IMAGENET) == {}


@pytest.fixture
def table():
    config = under_protocol("rd3_resnet18", "cifar10")
    settings.add_distillation(config, "mine", "sre2l")
    summary = pd.DataFrame(
        {
            "method": ["random", "mine", "full", "random"],
            "ipc": [10] * 4,
            "regime": ["soft_kd"] * 3 + ["hard"],
            "accuracy": [41.0, 30.25, 90.0, 20.0],
            "ci95": [1.0, np.nan, 1.0, 1.0],
            "n": [3, 1, 3, 3],
        }
    )
    return published.beside(settings.from_config(config), **CIFAR, summary=summary)


def test_beside_puts_own_numbers_with_the_method_of_the_set(table):
    assert list(table) == published.COLUMNS and len(table) == 8
    lines = table.set_index("method")
    assert lines.loc["SRe2L"].tolist() == [
        *("soft_kd", "10", "29.7 ±0.8", "RD3, table 1", "30.2 ±?")
    ]
    assert lines.loc["Random", ["published", "this run"]].tolist() == [
        *("42.3 ±0.3", "41.0 ±1.0")
    ]
    assert lines.loc["EDC", "this run"] == ""


def test_the_page_shows_them_or_nothing(table, tmp_path):
    rows = table.astype(str).to_numpy().tolist()
    shown = {"columns": list(table), "rows": rows, "note": "NOT OURS"}

    def page(**manifest):
        record = report.Record(tmp_path, pages.MANIFEST | manifest, pages.students())
        return report.write_page(record).read_text(encoding="utf-8")

    text = page(published=shown)
    assert "29.7 ±0.8" in text and "NOT OURS" in text
    assert "NOT OURS" not in page()


def test_the_file_is_whole_and_in_the_package():
    rows = published._rows()
    assert len(rows) > 500 and rows["value"].between(0, 100).all()
    known = {place[0] for p in PROTOCOLS.values() for place in p.published}
    assert set(rows["protocol"]) == known and len(known) == 4
    setup = SETUP.read_text()
    assert "*.csv" in setup
