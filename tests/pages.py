"""Made-up students for pages, and a parser that holds a page's tags together."""

import base64
import itertools
import re
import xml.etree.ElementTree
from html.parser import HTMLParser

import numpy as np
import pandas as pd

from ddjax.report.statistics import FULL, RANDOM

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)
ARMS = (RANDOM, "cad_prune", "facility_location", "el2n_hard", FULL)
KINDS = ("hard", "soft_kd")
NUMBERS = ("find_passes", "find_seconds", "image_passes", "train_seconds")


def students(arms=ARMS, kinds=KINDS, ipcs=(1, 10), seeds=4, failed=()):
    """Made-up students: an arm's accuracy falls with its place among the arms.

    Args:
      failed: (arm, seed) of those that failed.
    """
    generator = np.random.default_rng(0)
    rows = []
    for kind, ipc, (place, arm), seed in itertools.product(
        kinds, ipcs, enumerate(arms), range(seeds)
    ):
        accuracy = 50 + 8 * np.log10(ipc) - place + generator.normal()
        rows.append(
            {
                "network": "convnet_d2",
                "method": arm,
                "ipc": ipc,
                "regime": kind,
                "seed": seed,
                "status": "failed" if (arm, seed) in failed else "ok",
                "accuracy": accuracy,
                "val_accuracy": accuracy + generator.normal(),
                "learning_rate": 0.01,
                "label_bytes": 10.0 * len(kind),
                "subset": f"{arm}-{ipc}-{seed}",
            }
            | dict.fromkeys(NUMBERS, 1000.0 * place)
        )
    return pd.DataFrame(rows)


MANIFEST = {
    "run": {
        "command": "ddjax run cad_prune:digits --workdir '~/a  b'",
        "commit": "0123456789ab",
        "started": "2026-01-02T03:04:05+00:00",
        "ended": "2026-01-02T03:05:35+00:00",
    },
    "settings": {
        "name": "made_up",
        "student": {
            "network": {"name": "convnet_d2", "convnet": {"width": 8}},
            "epochs": 9,
            "passes": 0,
            "batch_size": 20,
            "learning_rates": [0.01, 0.1],
            "optimizer": {"name": "adamw"},
        },
        "protocol": {"widen": 1, "select_on": "validation"},
    },
    "source": {
        "name": "digits",
        "classes": ["0", "1"],
        "shape": [8, 8, 1],
        "pool": 1000,
        "test": 200,
        "digest": "ab" * 16,
    },
    "environment": {
        "versions": {"ddjax": "0.1.0", "jax": "0.10.2", "python": "3.11"},
        "devices": ["cpu", "cpu"],
        "processors": 2,
        "processor": "A processor",
    },
    "notes": ["A remark."],
    "costs": [
        {"stage": "teacher", "seconds": 90.0, "compile_seconds": 2.0, "reused": True},
        {"stage": "students", "seconds": 30.0, "train_passes": 64000, "flops": 3e12},
    ],
}

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """A page as a browser sees it.

    Attributes:
      tags: of every element, in order.
      ids: every `id`.
      links: (tag, address) of everything that is linked or loaded.
      words: the texts outside of styles and scripts.
      heads: the texts of headings and summaries.
      tables: id -> rows of cells (tag, attributes, text), of the last one without any.
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], [], [], []
        self.words, self.heads, self.tables = [], [], {}
        self._rows = None
        self.feed(text)
        self.close()
        assert self.open == [], "not closed"

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        assert len(found) == len(attributes), f"an attribute twice: {attributes}"
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [(tag, found[name]) for name in ("src", "href") if name in found]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self._rows = self.tables.setdefault(found.get("id"), [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("td", "th") and self._rows is not None:
            self._rows[-1].append((tag, found, ""))
        elif tag in ("h1", "h2", "h3", "summary"):
            self.heads.append("")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"closed too early: {tag}"
        if tag == "table":
            self._rows = None

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.words.append(data)
        if {"h1", "h2", "h3", "summary"} & {*self.open}:
            self.heads[-1] += data
        if self._rows and self._rows[-1] and {"td", "th"} & {*self.open}:
            tag, attributes, text = self._rows[-1][-1]
            self._rows[-1][-1] = tag, attributes, text + data

    @property
    def text(self):
        """All words, separated by single blanks."""
        return " ".join(" ".join(self.words).split())


def pictures(text):
    """The outermost <svg> elements of a page, parsed as XML."""
    found, depth, start = [], 0, 0
    for match in re.finditer(r"<svg\b[^>]*?(/?)>|</svg>", text):
        if match[0].startswith("</"):
            depth -= 1
            if depth == 0:
                found.append(text[start : match.end()])
        elif match[1] == "":
            start = match.start() if depth == 0 else start
            depth += 1
    return [xml.etree.ElementTree.fromstring(svg) for svg in found]


def sound(text):
    """Asserts what holds for every page, and returns it parsed."""
    page = Page(text)
    assert len(page.ids) == len({*page.ids})
    for tag, address in page.links:
        if address.startswith("#"):
            assert address[1:] in page.ids, f"a dead anchor: {address}"
        elif not address.startswith("data:"):
            assert not re.match(r"[a-z]*:|/", address), f"not beside it: {address}"
            assert tag in ("a", "img")
    assert not re.search(r"@import|url\(|https?:", re.sub(r"base64,[^\"]*", "", text))
    assert "" not in [head.strip() for head in page.heads]
    bare = re.findall(r".{0,40}(?<![\w.])(?:nan|inf|undefined)\b.{0,20}", page.text)
    assert not bare, bare
    assert pictures(text) or "svg" not in page.tags
    return page
