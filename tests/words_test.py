"""Words: code and pages use the field's; experiment_test reads what a run prints."""

import ast
import pathlib
import re

import pytest
from words import FORBIDDEN, private

ROOT = pathlib.Path(__file__).parents[1]
COMMENT = re.compile(r"(?:^ *|  )# ?(.*)$", re.MULTILINE)


def prose(path):
    """Returns the strings and docstrings of a program, and then its comments."""
    source = path.read_text()
    found = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return " | ".join(found) + " | " + " ".join(COMMENT.findall(source))


@pytest.mark.parametrize("folder", ["ddjax", "configs", "benchmarks"])
def test_programs_have_no_private_word(folder):
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for word in private(prose(path))
    ]
    assert not found, "\n".join(found)


def test_pages_have_no_private_word():
    pages = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.*"),
        *(ROOT / "launch").iterdir(),
        *(ROOT / "ddjax/report").glob("*.j2"),
        ROOT / "results/README.md",
    ]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in sorted(pages)
        for word in private(path.read_text())
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "the station's cost",
        "Asks the teacher",
        "the teacher's answers",
        "it looks\nat images",
        "as ddjax plan says",
        "The dearest of nine",
        "what a student sees",
        "told to stop",
    ],
)
def test_private_words_are_found(text):
    (found,) = private(text)
    assert found.rpartition(": ")[2] in FORBIDDEN.values()


def test_words_of_the_field_are_free():
    text = (
        "Committee Voting; shown to be smaller; cannot be told apart; a mask; "
        "it needs one answer, which is a verdict; look up; oversees"
    )
    assert not private(text)
