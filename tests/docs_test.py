"""The documents: short, true, linked; the tutorial runs."""

import csv
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from ddjax import main
from ddjax.declare import walk
from ddjax.errors import InputError
from ddjax.settings import Settings

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.ipynb"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.glob("*.md"),
        *ROOT.glob("results/*.md"),
        *ROOT.glob("launch/*.md"),
    ]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# Kind of `ddjax list` -> the page that has all its names.
NAMES = {
    "configs": "running.md",
    "selections": "selections.md",
    "methods": "synthetic_sets.md",
    "losses": "labels.md",
    "codecs": "labels.md",
    "networks": "teachers.md",
    "protocols": "synthetic_sets.md",
    "datasets": "data.md",
}


def prose(path):
    """The text of a page without its fenced blocks."""
    if path.suffix == ".ipynb":
        return "\n\n".join(cells("markdown"))
    return re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)


def cells(kind):
    """The texts of the tutorial's cells of a kind."""
    found = json.loads(TUTORIAL.read_text())["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def anchors(path):
    """The anchors of a page's headings, as GitHub and the site make them."""
    headings = HEADING.findall(prose(path))
    if path == DOCS / "results.md":  # the site includes it
        headings = HEADING.findall(prose(ROOT / "results" / "README.md"))
    if path == DOCS / "settings.md":
        headings = [heading.replace("`", "") for heading in headings]
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def broken(path):
    """The links of a page that lead nowhere."""
    for link in LINK.findall(prose(path)):
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists():
            yield link
        elif anchor and anchor not in anchors(target):
            yield link


def test_links_lead_somewhere(tmp_path):
    found = {(path, link) for path in [*PAGES, TUTORIAL] for link in broken(path)}
    assert not found
    page = tmp_path / "page.md"
    page.write_text("# A b\n[x](#a-b) [x](gone.md) [x](#c) [x](https://jax.dev)")
    assert list(broken(page)) == ["gone.md", "#c"]


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_page_is_on_the_site():
    index = (DOCS / "index.md").read_text()
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", index, re.M | re.S)
    entries = {line for tree in trees for line in tree.splitlines()}
    pages = {path.stem for path in [*DOCS.glob("*.md"), TUTORIAL]} - {"index"}
    assert pages <= entries


def test_pages_have_every_name_that_the_program_lists(capsys):
    for kind, page in NAMES.items():
        text = (DOCS / page).read_text()
        main._list(kind)
        for line in capsys.readouterr().out.splitlines():
            name = line.split()[0]
            folder, _, file = name.rpartition("/")
            words = {name, name.partition(":")[0]}
            if kind in ("configs", "protocols") and folder:
                words |= {f"{folder}/*"} if kind == "configs" else {file}
            if name.startswith("convnet_d"):
                words |= {"convnet_d1"}  # "`convnet_d1` to `convnet_d6`"
            found = [w for w in words if re.search(rf"`{re.escape(w)}[`:]", text)]
            assert found, f"{page} does not name {name}"


def test_settings_that_pages_name_exist():
    sections = "|".join(Settings.__dataclass_fields__) + "|ensemble"
    key = re.compile(rf"`((?:{sections})(?:\.[\w]+)+)[=`]")
    # The options of docs/extending.md are those of its examples.
    pages = [path for path in PAGES if path.stem != "extending"]
    found = {name for path in pages for name in key.findall(path.read_text())}
    assert len(found) > 20
    for name in sorted(found):
        try:
            walk.find(Settings, name)
        except InputError as error:
            raise AssertionError(name) from error


def columns(path):
    """The columns of a table, or the keys of lines of JSON."""
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            return next(csv.reader(file))
    lines = path.read_text().splitlines()
    return list(dict.fromkeys(key for line in lines for key in json.loads(line)))


def undescribed(workdir):
    """What a run left that docs/outputs.md does not name."""
    text = (DOCS / "outputs.md").read_text()
    tables = [*workdir.glob("*.csv"), *workdir.glob("*.jsonl")]
    tables += workdir.glob("subsets/*.csv")
    names = {name for path in tables for name in columns(path)}
    names |= {path.name for path in workdir.iterdir()}
    for name in sorted(names):
        if not re.search(rf"`{re.escape(name)}[/`]", text):
            yield name


def test_outputs_has_every_column():
    for folder in (ROOT / "results").iterdir():
        if (folder / "manifest.json").exists() and folder.name != "scaling":
            found = [n for n in undescribed(folder) if not n.endswith(".png")]
            assert not found, folder.name


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path):
    program = tmp_path / "tutorial.py"
    program.write_text("\n\n".join(cells("code")))
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "typical" in (tmp_path / "runs/tutorial/summary.csv").read_text()
    assert not list(undescribed(tmp_path / "runs" / "tutorial"))
