"""The browser client: what it measures and notes, and that it always ends."""

import os
import pathlib
import time

import browser
import numpy as np
import paper
import pytest
from PIL import Image

pytestmark = pytest.mark.slow
TEXTS = (pathlib.Path(__file__).parent / "visible_text.js").read_text()
PROBES = (pathlib.Path(__file__).parent / "page_probes.js").read_text().strip()
HEAD = """<!DOCTYPE html><meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body { margin: 0; font: 16px/1.5 sans-serif }</style>
"""


@pytest.fixture(scope="module")
def chromium():
    with browser.Browser(browser.needed(), patience=10) as running:
        yield running


@pytest.fixture
def show(chromium, tmp_path):
    """Returns the texts of a body, by what they say."""

    def texts(body, **look):
        path = tmp_path / "page.html"
        path.write_text(HEAD + body)
        with chromium.page(**look) as page:
            page.open(path)
            return {text["text"]: text for text in page.run(TEXTS)}

    return texts


@pytest.mark.parametrize(
    ("style", "contrast"),
    [
        ("color: #000; background: #fff", 21),
        ("color: #777; background: #fff", 4.48),
        ("color: rgb(0 0 0 / 50%); background: #fff", 3.98),
        ("color: #000; background: #fff; opacity: 0.5", 3.98),
        ("color: #fff; background: rgb(0 0 0 / 50%)", 3.98),
        ("color: color(srgb 0 0 0); background: hsl(0 0% 100%)", 21),
    ],
)
def test_contrast_is_that_of_the_guidelines(show, style, contrast):
    found = show(f'<div style="background: #fff"><p style="{style}">word')["word"]
    assert found["contrast"] == pytest.approx(contrast, abs=0.08)
    assert found["needed"] == 4.5
    assert not found["over"]


def test_a_background_is_looked_for_upwards(show):
    body = '<div style="background: #000"><section><p style="color: #111">word'
    assert show(body)["word"]["contrast"] < 1.2


def test_themes_have_papers_of_their_own(show):
    for dark in (False, True):
        assert show("<p>word", dark=dark)["word"]["contrast"] > 15


def test_text_on_a_picture_has_no_known_contrast(show):
    body = '<p style="background: linear-gradient(red, blue)">word</p><p>plain'
    texts = show(body)
    assert texts["word"]["over"]
    assert not texts["plain"]["over"]


def test_large_text_needs_less(show):
    texts = show("<h1>large</h1><b style='font-size: 19px'>bold</b><i>small")
    assert [texts[t]["needed"] for t in ("large", "bold", "small")] == [3, 3, 4.5]
    assert [texts[t]["size"] for t in ("large", "bold", "small")] == [32, 19, 16]


def test_letters_of_drawings_are_judged_on_their_shapes(show):
    texts = show(
        """<svg width="400" height="50" viewBox="0 0 800 100">
        <rect width="200" height="100" fill="#000"/>
        <text x="20" y="50" font-size="20" fill="#111">dark</text>
        <text x="320" y="50" font-size="20" fill="#111">bright</text>
        <text x="20" y="90" font-size="20" fill="#111" stroke="#fff" stroke-width="3"
          paint-order="stroke">halo</text></svg>"""
    )
    assert texts["dark"]["contrast"] < 1.2
    assert texts["bright"]["contrast"] > 15
    assert texts["halo"]["contrast"] > 15
    assert texts["bright"]["size"] == pytest.approx(10)


def test_only_what_is_visible_counts(show):
    texts = show(
        """<style>q::before { content: "before" } q::after { content: "·" }
        .away { position: absolute; left: -999px }
        .tiny { position: absolute; width: 1px; height: 1px; overflow: hidden }</style>
        <p>one <b hidden>two</b> <i style="visibility: hidden">three</i>
        <i style="opacity: 0">four</i></p><details><summary>five</summary>six</details>
        <span class="away">seven</span> <span class="tiny">eight</span> <q>nine</q>
        <svg width="9" height="9"><title>ten</title></svg><script>"eleven"</script>"""
    )
    assert set(texts) == {"one", "five", '"before"', "nine"}


def test_complaints_and_requests_are_noted(chromium, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        HEAD + '<img src="http://127.0.0.1:4/a"><img src="data:image/png;base64,AA==">'
        "<script>console.error('word', 7); console.log('quiet'); nothing()</script>"
    )
    with chromium.page() as page:
        page.open(path)
    assert page.requests == ["http://127.0.0.1:4/a"]
    assert len(page.errors) == 3
    for text in ("word 7", "nothing is not defined", "ERR_"):
        assert any(text in error for error in page.errors)


def test_scripts_can_be_off(show):
    body = "<p>one</p><script>document.body.append('two')</script>"
    assert set(show(body)) == {"one", "two"}
    assert set(show(body, script=False)) == {"one"}


def test_windows_phones_and_paper_differ(show):
    body = """<style>@media (max-width: 500px) { .desk { display: none } }
      @media print { .screen { display: none } }</style>
      <p class="desk">desk</p><p class="screen">screen</p>"""
    assert set(show(body)) == {"desk", "screen"}
    assert set(show(body, width=390, height=844, phone=True)) == {"screen"}
    assert set(show(body, print_=True)) == {"desk"}


def test_paper_is_read_and_lacks_what_is_cut(chromium, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        HEAD + "<p>A difficult word: ±3 − naïve</p><b>bold</b><svg><text y='20'>drawn"
        "</text></svg><p style='width: 3000px'>wide<i style='float: right'>gone</i>"
        '<p style="width: 40px; overflow: hidden; white-space: nowrap">1234567890123'
    )
    with chromium.page() as page:
        page.open(path)
        text = paper.text(page.paper())
    assert text.startswith("Adifficultword:±3−naïve")
    for word in ("bold", "drawn", "wide"):
        assert word in text
    assert "gone" not in text
    assert "123" in text
    assert "890" not in text


def test_pictures_on_paper_are_found(chromium, tmp_path):
    for name, height in (("open", 30), ("folded", 50)):
        noise = np.random.default_rng(0).integers(0, 255, (height, 40, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    path = tmp_path / "page.html"
    path.write_text(
        HEAD + "<img src=open.png><div style='height: 9000px'></div>"
        "<details><img src=folded.png loading=lazy></details><p>end"
    )
    with chromium.page() as page:
        page.open(path)
        assert paper.pictures(page.paper()) == {(40, 30)}


def test_torn_words_and_what_sticks_out_are_found(chromium, tmp_path):
    path = tmp_path / "page.html"
    away = '<i style="position: absolute; left: 500px; width: 9px">away</i>'
    path.write_text(
        HEAD + "<p style='width: 1em; overflow-wrap: anywhere'>torn</p><p>whole words"
        f'<div class="in" style="overflow-x: auto; position: relative">{away}</div>'
        f'<div class="out" style="overflow-x: auto">{away}</div>'
    )
    with chromium.page(width=400, height=300) as page:
        page.open(path)
        assert page.run(f"{PROBES}.torn", 12) == {"torn in undefined": 1}
        assert page.run(f"{PROBES}.torn", 3) == {}
        width, wide = page.run(f"{PROBES}.width")
    assert width > 500
    assert len(wide) == 1


def test_errors_of_a_script_are_told(chromium):
    with chromium.page() as page:
        with pytest.raises(browser.BrowserError, match="no such thing"):
            page.run("() => { throw new Error('no such thing') }")
        assert page.run("async (a, b) => a + b.c", 1, {"c": 2}) == 3


def test_a_missing_file_is_told(chromium, tmp_path):
    with chromium.page() as page, pytest.raises(browser.BrowserError, match="FOUND"):
        page.open(tmp_path / "missing.html")


def processes(group):
    """The processes of a group that are not yet gone, those that only wait left out."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state != "Z":
            found.append(stat.parent.name)
    return found


def test_no_process_is_left_after_a_failure():
    with (
        pytest.raises(ZeroDivisionError),
        browser.Browser(browser.needed()) as running,
        running.page(),
    ):
        assert len(processes(running.process.pid)) > 1
        raise ZeroDivisionError
    assert not processes(running.process.pid)
    assert not running.folder.exists()


def test_a_page_that_hangs_is_given_up():
    start = time.monotonic()
    with pytest.raises(browser.BrowserError, match=r"Runtime.evaluate: .* 1 s"):
        with browser.Browser(browser.needed(), patience=3) as running:
            with running.page() as page:
                running.patience = 1
                page.run("() => { for (;;); }")
    assert time.monotonic() - start < 20
    assert not processes(running.process.pid)


def test_a_program_that_is_no_browser_is_told(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho cannot open display >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(browser.BrowserError, match="ended\n.*wrote:\ncannot open"):
        with browser.Browser(os.fspath(program)):
            pass


def test_where_it_is_required_a_missing_browser_is_a_failure(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    monkeypatch.delenv("DDJAX_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception):
        browser.needed()
    monkeypatch.setenv("DDJAX_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match="install chromium"):
        browser.needed()
