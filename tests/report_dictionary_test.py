"""The data dictionary: what runs write is declared, and what is declared is written."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tiny
from tables import columns, misfits, tables, wrong

from ddjax import pipeline
from ddjax.report import compare, dictionary, page
from ddjax.settings import add_transfer, from_config
from ddjax.stages.exports import write_readme

ROOT = pathlib.Path(__file__).parents[1]
METHODS = ("random", "el2n_easy", "cad_prune", "herding", "el2n_best_window")


@pytest.mark.slow
def test_a_run_writes_what_is_declared(tmp_path):
    config = tiny.config(
        tiny.write(tmp_path / "tiny.npz"),
        regimes=("hard", "soft_kd"),
        select__methods=METHODS,
        protocol__curves=2,
    )
    add_transfer(config, "linear", name="mlp", hidden=())
    summary = pipeline.run(from_config(config), tmp_path / "run")
    assert summary.attrs["missing"] == []
    assert not list(wrong(tmp_path / "run")) and not list(misfits(tmp_path / "run"))
    written = {file.name for file, _ in tables(tmp_path / "run")}
    declared = {file.name for file in dictionary.FILES if file.columns}
    assert declared == written
    assert (tmp_path / "run" / "README.md").read_text() == dictionary.readme("students")


def test_studies_that_were_run_have_what_is_declared():
    found = 0
    for folder in (ROOT / "results").iterdir():
        if (folder / "members.jsonl").exists():
            assert not list(wrong(folder, complete=False))
            assert not list(misfits(folder))
            found += 1
    assert found > 5


def test_verdicts_have_what_is_declared(tmp_path):
    study = ROOT / "results" / "fashion_mnist"
    record = dataclasses.replace(page.read(study), folder=tmp_path)
    page.write_verdicts(record)
    assert len(record.verdicts) == 3
    assert columns(tmp_path / "verdicts.json") == [
        column.name for column in dictionary.VERDICTS
    ]


def test_a_comparison_has_what_is_declared():
    names = ("kd_losses_digits", "temperature_digits")
    runs = compare.read([ROOT / "results" / name for name in names])
    found = compare.table(runs)
    assert list(found) == [column.name for column in dictionary.COMPARED]


def test_a_column_that_is_not_declared_is_noticed(tmp_path):
    (tmp_path / "subset.csv").write_text("id,class,colour\n")
    assert list(wrong(tmp_path))[0] == "subset.csv: colour"
    (tmp_path / "subset.csv").write_text("id,class\n-1,\nx,a\n")
    assert list(misfits(tmp_path)) == [
        "subset.csv: id is no number",
        "subset.csv: id is outside 0, 1, 2, ...",
        "subset.csv: class is missing",
    ]
    (tmp_path / "subset.csv").write_text("class\n")
    assert len(list(wrong(tmp_path))) == 1 and not list(wrong(tmp_path, complete=False))


@pytest.mark.parametrize("name", ["outputs", "comparing", "rankings"])
def test_pages_have_the_tables_that_are_declared(name):
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert page.count("<!-- end -->") == page.count("<!-- table: ") > 0
    assert page == dictionary.updated(page), (
        f"python -m ddjax.report.dictionary docs/{name}.md"
    )
    with pytest.raises(KeyError, match="gone.csv"):
        dictionary.updated("<!-- table: gone.csv -->\n<!-- end -->")


@pytest.mark.parametrize("of", ["students", "teachers"])
def test_every_row_of_a_readme_has_all_cells(of):
    text = dictionary.readme(of)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {3, 6} and len(rows) > 20
    for column in (c for f in dictionary.FILES if f.of in ("", of) for c in f.columns):
        assert column.meaning and column.values
        assert np.isin(
            f"| `{column.name}` | {column.meaning} |",
            ["|".join(row.split("|")[:3]) + "|" for row in rows],
        )


def test_a_readme_of_ones_own_is_kept(tmp_path):
    path = tmp_path / "README.md"
    write_readme(tmp_path, "students")
    written = path.read_text()
    write_readme(tmp_path, "teachers")
    assert path.read_text() != written  # ddjax's own is replaced
    path.write_text("# My notes\n")
    write_readme(tmp_path, "students")
    assert path.read_text() == "# My notes\n"
