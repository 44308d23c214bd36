"""The HTML report: self-contained, complete and escaped."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from ddjax.errors import InputError
from ddjax.report import html, statistics
from ddjax.report.html import write_html

VOID = {"meta", "img", "link", "br", "hr", "input"}
PNG = b"\x89PNG\r\n\x1a\nnot really"


class Page(HTMLParser):
    """Collects the text, the attributes, and whether the tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def members():
    rng = np.random.default_rng(0)
    rows = []
    for regime, gain in (("hard", 4.0), ("soft_kd", 0.0)):
        for method in ("random", "cad", "<b>el2n</b>", "full"):
            for seed in range(3):
                bonus = {"random": 0.0, "cad": gain, "full": 10.0}.get(method, -5.0)
                accuracy = 50.0 + bonus + 0.1 * rng.normal()
                rows.append(
                    {
                        "method": method,
                        "ipc": 10,
                        "regime": regime,
                        "seed": seed,
                        "status": "ok",
                        "accuracy": accuracy,
                        "val_accuracy": accuracy,
                        "learning_rate": 0.01,
                        "image_passes": 64000,
                        "find_passes": 3_000_000,
                        "find_seconds": 7500.0,
                        "train_seconds": 0.25,
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture
def report(tmp_path):
    """Writes a report with some arguments changed and returns the parsed page."""
    figure = tmp_path / "gap.png"
    figure.write_bytes(PNG)
    table = members()
    default = {
        "title": "Quality & <labels>",
        "summary": statistics.with_label_effect(statistics.summarise(table), table),
        "figures": [('The gap "by eye" <script>', figure)],
        "settings": {"data": {"name": "<img src=x>", "ipc": [10, 50]}, "seed": 7},
        "costs": [
            {"stage": "teacher", "seconds": 200.0, "flops": 3.2e15, "reused": True},
            {
                "stage": "students",
                "seconds": 26.0,
                "compile_seconds": 4.0,
                "train_passes": 64000,
            },
        ],
        "environment": {"jax": "0.10", "device": {"kind": "cpu"}},
        "failures": [{"method": "cad", "error": "loss < 0 & NaN"}, {"seed": 3}],
        "notes": ["see https://example.org <here>"],
    }

    def write(**changes):
        path = tmp_path / "report.html"
        write_html(path, **{**default, **changes})
        return Page(path.read_text(encoding="utf-8"))

    return write


def test_write_html_is_self_contained(report):
    page = report()
    assert "script" not in page.tags and "link" not in page.tags
    assert len(page.links) == 1
    assert page.links[0] == "data:image/png;base64,iVBORw0KGgpub3QgcmVhbGx5"


def test_write_html_answers_first(report):
    text = report().text
    answer = text.index("At IPC 10, under hard labels, cad beats random by +")
    assert "under soft_kd labels, cad against random is" in text
    assert "no difference is shown" in text
    assert "choosing the images gains more under hard labels." in text
    for later in ("Accuracy", "Figures", "All numbers", "Cost", "Settings"):
        assert text.index(later, answer) > answer


def test_write_html_holds_every_method_setting_and_cost(report):
    text = report().text
    for method in ("random", "cad", "<b>el2n</b>", "full"):
        assert text.count(method) >= 4
    for words in ("data.name", "[10, 50]", "seed 7", "device.kind cpu", "3 M", "64 k"):
        assert words in text
    assert "teacher 3 min – – – 3.2 P – yes" in text
    assert "students 26.0 s 4.0 s – 64 k – – no" in text
    assert "took 30.0 s, compilation included, and reused what had taken 3 min" in text
    assert "selection gain, hard - soft_kd: +" in text
    assert "2.1 h" in text and "0.25 s" in text


def test_write_html_escapes_what_it_is_given(report, tmp_path):
    page = report()
    text = (tmp_path / "report.html").read_text()
    assert "&lt;b&gt;el2n" in text and "<b>" not in text
    assert "&lt;img src=x&gt;" in text and page.tags.count("img") == 1
    assert "loss &lt; 0 &amp; NaN" in text
    assert "<title>Quality &amp; &lt;labels&gt;</title>" in text
    assert 'alt="The gap &#34;by eye&#34; &lt;script&gt;"' in text


def test_write_html_lists_failures_with_all_their_keys(report):
    text = report().text
    assert "2 students failed" in text
    assert "method error seed cad loss < 0 & NaN" in text
    assert "failed" not in report(failures=[]).text


def test_write_html_without_anything_to_compare(report):
    table = members().query("method == 'random' and regime == 'hard'")
    text = report(
        summary=statistics.summarise(table), figures=[], costs=[], notes=[]
    ).text
    assert "No method could be compared with random" in text
    assert "No cost was recorded" in text
    assert "Figures" not in text


def test_write_html_refuses_a_missing_figure(report, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.png' does not exist"):
        report(figures=[("gap", tmp_path / "nowhere.png")])
    assert not (tmp_path / "report.html").exists()


@pytest.fixture
def teachers_page(tmp_path):
    """Writes a teachers_page; returns its text."""
    (tmp_path / "teachers.png").write_bytes(PNG)

    def write(**changes):
        parts = {
            "title": "teachers on <blobs>",
            "table": pd.DataFrame(
                {
                    "teacher": ["teacher", "small"],
                    "epoch": ["8", ""],
                    "parameters": [547, 275],
                    "test_accuracy": [61.23456, 50.0],
                }
            ),
            "figures": [("Learning curves", tmp_path / "teachers.png")],
            "settings": {"teacher": {"epochs": 8}},
            "costs": [
                {"stage": "teacher", "seconds": 90.0, "compile_seconds": 2.0},
                {"stage": "small", "seconds": 7.0, "reused": True},
            ],
            "environment": {"backend": "cpu"},
            "notes": ["Its classes may be in another order."],
        }
        path = tmp_path / "report.html"
        html.write_teachers_html(path, **parts | changes)
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "report.html",
            "teachers.png",
        ]
        return path.read_text()

    return write


def cells(text):
    """The rows of the teachers_page's first table."""
    table = re.search(r"<table.*?</table>", text, re.S).group()
    rows = re.findall(r"<tr.*?</tr>", table, re.S)
    return [
        [cell.strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)]
        for row in rows
    ]


def test_the_page_has_the_table_as_it_is(teachers_page):
    assert cells(teachers_page()) == [
        ["teacher", "epoch", "parameters", "test_accuracy"],
        ["teacher", "8", "547", "61.23"],
        ["small", "", "275", "50.00"],
    ]


def test_the_page_says_what_it_rests_on(teachers_page):
    text = teachers_page()
    for part in (
        "teachers on &lt;blobs&gt;",
        "Its classes may be in another order.",
        "Learning curves",
        "teacher.epochs",
        "backend",
        "This run took 92.0 s, compilation included, and reused what had taken 7.0 s.",
    ):
        assert part in text, part
    assert "another order" not in teachers_page(notes=[])


def test_the_page_needs_no_other_file(teachers_page):
    text = teachers_page()
    assert text.count("data:image/png;base64,") == 1
    sources = re.findall(r"(?:src|href)=[\"']([^\"']*)", text)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "<script" not in text and "http" not in text
    assert teachers_page(figures=[]).count("data:image/png") == 0


def test_the_page_refuses_a_missing_figure(teachers_page, tmp_path):
    with pytest.raises(InputError, match="no.png' does not exist"):
        teachers_page(figures=[("Nothing", tmp_path / "no.png")])
