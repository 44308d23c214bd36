"""The report in a real browser: every size, both themes, by keyboard, on paper."""

import collections
import functools
import itertools
import json
import pathlib
import re
import shutil

import browser
import paper
import pytest

from ddjax.report import compare, comparison_page, render

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[1]
COMPARED = ("coresets", "fashion_mnist")
COMPARISON = "comparison"
ODD = "odd names"  # of COMPARED[1]
ODD_METHODS = {
    "el2n_easy": "<img src=x onerror=nothing()>",
    "forgetting_easy": "x" * 300,
    "facility_location": "</script> {{ 7 * 7 }} $1$ &amp;",
}
ODD_LABELS = {"soft": "y" * 60}
STUDIES = ("coresets", "fashion_mnist", "label_compression", "distill_fashion_mnist")
TEXTS = (ROOT / "tests/visible_text.js").read_text()
PROBES = (ROOT / "tests/page_probes.js").read_text().strip()
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844, "phone": True}
NARROW = {"width": 320, "height": 568, "phone": True}
PAPER = {"width": 1032, "height": 703, "print_": True}  # A4 across, less its margins


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Returns a page's name -> its file, made once of the results that are kept."""

    @functools.cache
    def report(name):
        folder = tmp_path_factory.mktemp("reports") / name
        if name == COMPARISON:
            runs = compare.read([ROOT / "results" / study for study in COMPARED])
            return comparison_page.write(folder, runs, compare.table(runs))[-1]
        study = COMPARED[1] if name == ODD else name
        shutil.copytree(ROOT / "results" / study, folder)
        if name == ODD:
            rename(folder / "members.jsonl")
        return render(folder)

    return report


@pytest.fixture(scope="module")
def opened(reports):
    """Opens a page by its name, in a window of a look: the same one for all tests."""
    with browser.Browser(browser.needed()) as running, running.page() as page:

        def opened(name, **look):
            # A window is resized at once where there is nothing to be laid out.
            page.call("Page.navigate", url="about:blank")
            page.look(**look)
            page.open(reports(name))
            return page

        yield opened


def rename(path):
    """Gives methods and labels of `members.jsonl` the odd names."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["method"] = ODD_METHODS.get(row["method"], row["method"])
        row["regime"] = ODD_LABELS.get(row["regime"], row["regime"])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


each_study = pytest.mark.parametrize("study", STUDIES)
each_page = pytest.mark.parametrize("name", (*STUDIES, COMPARISON))
every_page = pytest.mark.parametrize("name", (*STUDIES, COMPARISON, ODD))


def filtered(study):
    """Whether the columns of a study's table are of several kinds of labels."""
    if study == "label_compression":  # whose rows are labels
        return False
    lines = (ROOT / "results" / study / "members.jsonl").read_text().splitlines()
    return len({json.loads(line)["regime"] for line in lines}) > 1


def number(text):
    """The first number of a cell, in bytes where it is one of them, or None."""
    text = text.replace("−", "-")
    found = re.search(r"([-+]?\d[\d,]*(?:\.\d+)?)(?:\s([kMG])B)?", text)
    units = {None: 1, "k": 1e3, "M": 1e6, "G": 1e9}
    return float(found[1].replace(",", "")) * units[found[2]] if found else None


def letters(text):
    return re.sub(r"[^a-z0-9]", "", text.lower())


def probe(page, name, *arguments):
    """Returns what one of the functions of `page_probes.js` returns."""
    return page.run(f"{PROBES}.{name}", *arguments)


@every_page
def test_nothing_is_complained_of_or_asked_for(opened, name):
    page = opened(name, **DESK)
    probe(page, "useAll")
    page.paper()
    assert not page.errors
    # Figures may be files beside the page.
    folder = page.path.parent.as_uri() + "/"
    assert [r for r in page.requests if not r.startswith(folder)] == []


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_odd_names_are_shown_as_they_are(opened, script):
    page = opened(ODD, **DESK, script=script)
    table = page.run("() => document.getElementById('accuracy').innerText")
    for name in (*ODD_METHODS.values(), *ODD_LABELS.values()):
        assert name.lower() in table.lower()


@every_page
def test_a_page_is_never_wider_than_the_window(opened, name):
    page = opened(name, **DESK)
    for step in ("closedDetails", "openDetails"):
        probe(page, step)
        for width in (320, 390, 820, 1280, 1920):
            page.look(width, 900, phone=width < 500)
            found, wide = probe(page, "width")
            assert found <= width, wide
            assert not wide, width


@each_page
def test_short_words_stay_whole(opened, name):
    page, torn = opened(name, **DESK), {}
    probe(page, "openDetails")
    for look in (DESK, PHONE, NARROW, PAPER):
        page.look(**look)
        torn[look["width"]] = probe(page, "torn", 12)
    assert not any(torn.values()), torn


@each_page
def test_pictures_are_seen_and_described(opened, name):
    page = opened(name, **DESK)
    probe(page, "openDetails")
    for width, height, alt in probe(page, "pictures"):
        assert alt
        assert width > 0 and height > 0, alt


@each_study
def test_the_first_screen_has_the_answers_and_the_picture(opened, study):
    page = opened(study, **DESK)
    verdicts = probe(page, "bottoms", "#verdicts .verdict")
    assert len(verdicts) >= 1
    assert max(verdicts) <= 800
    assert probe(page, "bottoms", "#hero")[0] <= 800


@each_study
def test_the_first_screen_of_a_phone_has_the_answers(opened, study):
    page = opened(study, **PHONE)
    assert max(probe(page, "bottoms", "#verdicts .verdict")) <= 844


@each_page
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("look", [DESK, PHONE], ids=["desk", "phone"])
def test_text_can_be_read(opened, name, dark, look):
    page = opened(name, **look, dark=dark)
    probe(page, "openDetails")
    texts = page.run(TEXTS)
    assert len(texts) > 100
    pale = {
        f"{t['where']}: {t['contrast']:.2f}, {t['text'][:40]}"
        for t in texts
        if t["contrast"] < t["needed"] or t["over"]
    }
    assert not pale, "\n".join(sorted(pale))
    # Marks beside numbers may be smaller than what is to be read.
    small = {
        f"{t['where']}: {t['size']:.1f} px, {t['text'][:40]}"
        for t in texts
        if t["size"] < 11 and letters(t["text"])
    }
    assert not small, "\n".join(sorted(small))
    meeting = [
        (one["text"], other["text"], one["where"])
        for one, other in itertools.combinations([t for t in texts if t["drawn"]], 2)
        if shared(one, other, "left", "right") > 1
        and shared(one, other, "top", "bottom") > 4
    ]
    assert not meeting


def shared(one, other, start, end):
    """The pixels that two boxes share in one direction, below 0 for a gap."""
    return min(one[end], other[end]) - max(one[start], other[start])


@each_page
def test_tables_say_what_their_heads_are_of(opened, name):
    page = opened(name, **DESK)
    tables = probe(page, "heads")
    assert tables
    for heads in tables:
        assert heads
        for scope, text in heads:
            assert scope in {"col", "row", "colgroup", "rowgroup"}
            assert text


@each_study
def test_columns_are_sorted_both_ways(opened, study):
    page = opened(study, **DESK)
    count = probe(page, "usable")["sort"]
    assert count >= 2
    for index in range(count):
        orders, ways = [], []
        for _ in range(2):
            head, way, states, column = probe(page, "sort", index)
            assert states == [way]
            rows = probe(page, "rows")
            full = ["full data" in row[0].lower() for row in rows]
            assert full == sorted(full), f"full data is not last: {head}"
            rest = [row for row, last in zip(rows, full, strict=True) if not last]
            values = [number(row[column]) for row in rest]
            known = [value for value in values if value is not None]
            if column > 0:
                assert known == sorted(known, reverse=way == "descending"), head
            orders.append([row[0] for row in rest])
            ways.append(way)
        assert set(ways) == {"ascending", "descending"}
        if column == 0 or len(set(known)) > 1:
            assert orders[0] != orders[1], head


@each_study
def test_the_filter_hides_columns(opened, study):
    page = opened(study, **DESK)
    everything = probe(page, "rows")
    choices = probe(page, "choose", 0)
    if not filtered(study):
        assert choices == 0
        return
    assert choices > 2
    columns = []
    for index in range(1, choices):
        probe(page, "choose", index)
        rows = probe(page, "rows")
        assert len(rows) == len(everything)
        columns.append(len(rows[0]) - 1)
        assert 0 < columns[-1] < len(everything[0]) - 1
    assert sum(columns) == len(everything[0]) - 1
    probe(page, "choose", 0)
    assert probe(page, "rows") == everything


@each_study
@pytest.mark.parametrize("kind", ["markdown", "latex"])
def test_what_is_visible_is_copied(opened, study, kind):
    page = opened(study, **DESK)
    for choice in (0, 1):
        probe(page, "choose", choice)
        rows, table = probe(page, "rows"), copied(probe(page, "copy", kind), kind)
        assert len(table) == len(rows) + 1  # the heads
        assert {len(row) for row in table} == {len(row) for row in rows}
        for row, cells in zip(rows, table[1:], strict=True):
            assert letters(cells[0]) in letters(row[0])
            assert [number(c) for c in cells[1:]] == [number(c) for c in row[1:]]


def copied(text, kind):
    """The cells of a copied table, heads first, without what only dresses them."""
    if kind == "markdown":
        lines = [line.strip("| ") for line in text.splitlines() if line[:1] == "|"]
        assert set(lines.pop(1)) <= set("-:| ")
        return [line.split(" | ") for line in lines]
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    lines = [line.replace("$-$", "-") for line in lines]
    plain = (re.sub(r"\\textbf{([^}]*)}", r"\1", line) for line in lines)
    return [re.split(r"(?<!\\) & ", line.removesuffix(r"\\")) for line in plain]


@each_page
def test_all_is_there_without_scripts(opened, name):
    found = []
    for script in (True, False):
        page = opened(name, **DESK, script=script)
        probe(page, "openDetails")
        found.append(collections.Counter(t["text"] for t in page.run(TEXTS)))
        if script:
            tools = probe(page, "copyWords")
    scripted, plain = found
    assert set(scripted - plain) <= set(tools)
    assert not plain - scripted


@each_study
def test_the_keyboard_reaches_what_can_be_used(opened, study):
    page = opened(study, **DESK)
    stops, unseen = collections.defaultdict(set), []
    for _ in range(1000):
        page.press("Tab")
        focused = probe(page, "focused")
        if focused is None:
            break
        kind, place, seen, what = focused
        if not seen:
            unseen.append(what)
        if kind in ("sort", "details") and place not in stops[kind]:
            states = []
            for _ in range(2):
                page.press("Enter")
                states.append(probe(page, "focusedState"))
            both = {True, False} if kind == "details" else {"ascending", "descending"}
            assert set(states) == both, what
        stops[kind].add(place)
    else:
        pytest.fail("the focus never leaves the page")
    usable = probe(page, "usable")
    for kind in ("sort", "details", "copy"):
        assert len(stops[kind]) == usable[kind] > 0, kind
    assert bool(stops["filter"]) == filtered(study)
    assert not unseen


@each_page
def test_paper_has_all_and_cuts_nothing(opened, name):
    page = opened(name, **PAPER)
    probe(page, "beforePrint")
    assert probe(page, "closedDetails") == 0
    texts = page.run(TEXTS)
    page = opened(name, **DESK)
    pdf = page.paper()
    printed = paper.pictures(pdf)
    for *size, alt in probe(page, "pictures"):
        assert tuple(size) in printed, alt
    printed = paper.text(pdf)
    counts = collections.Counter(paper.squeezed(text["text"]) for text in texts)
    missing = {
        text["text"]
        for text in texts
        if printed.count(squeezed := paper.squeezed(text["text"])) < counts[squeezed]
        and not torn(text["text"], printed)
    }
    assert not missing, sorted(missing)


def torn(text, printed):
    """Whether all words of a long text are there, on two pages perhaps."""
    return len(text) > 30 and all(paper.squeezed(w) in printed for w in text.split())
