"""What can be named, and what `ddjax list` and `ddjax show` print of it."""

import pathlib

import pytest

from ddjax import distill, models, protocols, select
from ddjax.cli import catalogue, config_files, explain
from ddjax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]


def test_every_name_has_a_line():
    for kind in catalogue.KINDS:
        rows = catalogue.rows(kind)
        assert len(rows) >= 5, kind
        assert all(name and says and "\n" not in says for name, says in rows.items())


def test_the_names_are_those_of_the_packages():
    assert catalogue.rows("selections").keys() == select.METHODS.keys()
    assert catalogue.rows("methods").keys() == distill.METHODS.keys()
    assert catalogue.rows("networks").keys() == models.MODELS.keys()
    assert "methods/sre2l" in catalogue.rows("configs")
    assert {"digits", "folder:PATH", "npz:PATH"} <= catalogue.rows("datasets").keys()
    assert any("topk:k=..." in name for name in catalogue.rows("codecs"))


def test_every_protocol_has_a_config_of_its_name():
    listed = catalogue.rows("protocols").keys()
    assert listed == {f"protocols/{name}" for name in protocols.PROTOCOLS}
    configs = (name for name in config_files.names() if name.startswith("protocols/"))
    assert set(configs) == listed


def test_every_config_names_its_variants_and_begins_with_the_default():
    for name in config_files.names():
        known = config_files.variants(config_files.module(config_files.find(name)))
        assert "smoke" in known, name
        if name != "own":  # whose default needs images
            first = config_files.load(f"{name}:{known[0]}")
            assert config_files.load(name).to_dict() == first.to_dict()


def test_a_setting_is_explained():
    text = explain.explain("student.optimizer.schedule")
    assert "allowed: one of constant, step, cosine" in text
    assert "default: cosine" in text
    assert explain.explain("config.student.optimizer.schedule") == text


def test_an_entry_may_have_any_name():
    assert "topk:k=4" in explain.explain("labels.mine.codec")


def test_names_of_a_kind_are_listed_with_the_setting():
    assert "cad_facility_location" in explain.explain("select.methods")


def test_a_section_names_its_settings():
    text = explain.explain("student.optimizer")
    assert "student.optimizer.weight_decay" in text


def test_a_config_says_what_it_tests_and_costs():
    text = explain.explain("cad_prune:smoke")
    assert text.startswith("CAD-Prune against random")
    assert "Variants: digits, fashion_mnist, fashion_mnist_full, smoke" in text
    assert "Cost of smoke: " in text and "on this machine" in text


def test_a_protocol_says_what_it_sets_and_where_that_is_from():
    text = explain.explain("protocols/minimax:smoke")
    assert "student.optimizer.step_at" in text and "student.epochs = 2000" in text
    assert "Source: the code of vimar-gu/MinimaxDiffusion" in text
    assert "its box is\ndrawn once a batch, here once an image" in text


def test_a_config_whose_images_are_not_there_says_so():
    text = explain.explain("protocols/dc:cifar10")
    assert "Cost of cifar10: " in text  # facts are enough
    text = explain.explain("evaluate_images")
    assert "unknown here: " in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("student.epoch", "student.epoch: unknown key, .* did you mean epochs"),
        ("student.epochs.more", "student.epochs is a setting, no section"),
        ("nothing_like_it", "config: found 'nothing_like_it'"),
        ("cad_prune:smok", "variant: found 'smok', allowed is .* mean smoke"),
    ],
)
def test_what_is_neither_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        explain.explain(name)


def test_the_page_of_settings_is_what_the_declarations_say():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == explain.settings_page(), (
        "python -m ddjax.cli.explain --out docs/se..."
    )
