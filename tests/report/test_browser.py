"""The page in a browser: what answers a pointer, what it says without eyes, and no complaint.

`make browser` installs what these need; without it they are skipped.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import made_report
import made_results
import pandas as pd
import pytest
from browsers import LONGEST, RULES, launched, serious

from cxrfmkd.report.page import page

pytestmark = pytest.mark.slow
WIDTHS = (1440, 390)
# An A4 sheet without its margins, in CSS pixels.
SHEET = {"width": 695, "height": 1010}
SMALLEST_LETTER = """() => {
  const texts = document.querySelectorAll("main p, main td, main th, main figcaption, main text");
  const sizes = [...texts].filter((t) => t.textContent.trim() && t.getClientRects().length)
    .map((t) => {
      const matrix = t.ownerSVGElement ? t.getScreenCTM() : { a: 1, b: 0 };
      return parseFloat(getComputedStyle(t).fontSize) * Math.hypot(matrix.a, matrix.b);
    });
  return Math.min(...sizes);
}"""
OPEN_FOLDS = "for (const fold of document.querySelectorAll('details')) fold.open = true"
# Tables of numbers are alike; thousands of rows would take a checker minutes.
OPEN_ONE_TABLE = """() => {
  for (const fold of document.querySelectorAll("details:not(.numbers)")) fold.open = true;
  document.querySelector("details.numbers").open = true;
}"""
# Of a page in other colours, all else being equal.
COLOURS = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "rule", "values": ["color-contrast"]},
}
# Charts whose marks stand for models.
OF_MODELS = "figure:has-text('a click shows its model') .chart[data-drawn]"
# How many marks of each of them are pale.
PALE = """() => [...document.querySelectorAll(".chart[data-drawn]")]
  .filter((chart) => chart.closest("figure").innerText.includes("a click shows its model"))
  .map((chart) => ({
    id: chart.id,
    pale: chart.querySelectorAll(".role-mark [opacity='0.12']").length,
  }))"""
INK_AND_PAPER = """[
  getComputedStyle(document.body).color,
  getComputedStyle(document.querySelector("main")).backgroundColor,
]"""
CELLS = """(table) => [table.tHead.rows[0], ...table.tBodies[0].rows].map((row) =>
  [...row.cells].map((cell) => cell.dataset.v ?? cell.innerText.replace(/\\s*↕\\s*$/, "")))"""
BROKEN = """() => {
  const links = [...document.querySelectorAll("a[href]")].map((a) => a.getAttribute("href"));
  const named = [...document.querySelectorAll("[aria-labelledby]")]
    .map((node) => "#" + node.getAttribute("aria-labelledby"));
  return [...links, ...named]
    .filter((link) => !link.startsWith("#") || !document.getElementById(link.slice(1)));
}"""
NAMES = """() => [...document.querySelectorAll(".chart[data-drawn]")].map((chart) => [
  chart.closest("figure").querySelector("figcaption").textContent.split(". ")[1],
  chart.getAttribute("aria-label"),
])"""
WIDER = """() => [...document.querySelectorAll("main *")]
  .filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
  .map((node) => node.closest("[id]").id)"""
CUT_OFF = """() => [...document.querySelectorAll(".chart[data-drawn]")]
  .filter((chart) => chart.scrollWidth > chart.clientWidth + 1)
  .map((chart) => chart.getAttribute("aria-label"))"""
SHUT = "document.querySelectorAll('main details:not([open], .numbers, .tools details)').length"
DRAWN = "document.documentElement.dataset.charts === 'drawn'"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("report") / "results"


@pytest.fixture(scope="module")
def address(results) -> str:
    few = [name for name in made_results.shape().catalogue() if not name.startswith("mimic/")]
    data = made_report.study(results, few=few)
    path = results.parent / "index.html"
    path.write_text(page(data, "c0de"))
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(browser, address) -> Iterator:
    """Opens the page with all its charts drawn; at the end nothing was complained of or fetched."""
    pages, messages = [], []

    def opened(width: int, scheme: str = "light"):
        tab = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        pages.append(tab)
        tab.set_default_timeout(LONGEST)
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.on("request", lambda asked: asked.url.startswith("http") and messages.append(asked.url))
        tab.goto(address)
        tab.wait_for_function(DRAWN)
        return tab

    yield opened
    for tab in pages:
        tab.close()
    assert messages == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_and_no_letter_is_too_small(visit, width):
    opened = visit(width)
    opened.evaluate(OPEN_FOLDS)
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.evaluate(SMALLEST_LETTER) >= 10.9


@pytest.mark.parametrize("width", [1440, 1180])
def test_no_chart_is_cut_off(visit, width):
    opened = visit(width)
    opened.evaluate(OPEN_FOLDS)
    assert opened.evaluate(CUT_OFF) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_checker_of_accessibility_finds_nothing_serious_in_light_or_dark(visit, width):
    opened = visit(width)
    opened.evaluate(OPEN_ONE_TABLE)
    assert serious(opened, RULES) == []
    opened.emulate_media(color_scheme="dark")
    ink, paper = (
        sum(map(int, colour[colour.index("(") + 1 : -1].split(",")[:3]))
        for colour in opened.evaluate(INK_AND_PAPER)
    )
    assert ink > paper
    assert serious(opened, COLOURS) == []


def read_mark(opened, mark) -> dict[str, str]:
    """What a pointer at a mark reads."""
    mark.hover(force=True)
    tooltip = opened.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    return dict(line.split("\t", 1) for line in tooltip.inner_text().splitlines() if "\t" in line)


@pytest.mark.parametrize(
    ("figure", "mark", "words"),
    [
        ("What the students kept", ".mark-symbol path", {"student or control": "MSE"}),
        ("Training of the students", ".mark-symbol path", {"run": "validation, seed"}),
        ("ROC and precision-recall", ".mark-symbol path", {"value": "sensitivity"}),
        ("Focused comparison", ".mark-symbol path", {"model": "CXR", "finding": "Pleural"}),
    ],
    ids=["distillation", "training", "curves", "focused"],
)
def test_a_pointer_reads_marks_of_every_kind(visit, figure, mark, words):
    opened = visit(1440)
    opened.evaluate(OPEN_FOLDS)
    place = opened.locator("figure", has_text=figure).first.locator(".chart[data-drawn]")
    place.wait_for()
    shown = read_mark(opened, place.locator(mark).first)
    assert {name: shown[name][: len(word)] for name, word in words.items()} == words


@pytest.mark.parametrize("width", WIDTHS)
def test_a_pointer_reads_a_mark_and_a_click_shows_its_model_everywhere(visit, width):
    opened = visit(width)
    chart = opened.locator(OF_MODELS).first
    mark = chart.locator(".mark-symbol path").first
    shown = read_mark(opened, mark)
    assert "CXR" in shown["model"] or "Net" in shown["model"]
    assert " to " in shown["value"]
    assert int(shown["n"].replace(",", "")) > 0
    mark.click(force=True)
    chosen = opened.locator("#picked")
    chosen.wait_for()
    name = chosen.inner_text().removeprefix("Highlighted: ").removesuffix(" ✕")
    assert name == shown["model"]
    charts = opened.evaluate(PALE)
    assert len(charts) > 10
    assert [chart["id"] for chart in charts if not chart["pale"]] == []
    assert name in opened.locator("tr.picked").first.inner_text()
    opened.keyboard.press("Escape")
    chosen.wait_for(state="hidden")
    assert not any(chart["pale"] for chart in opened.evaluate(PALE))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_is_saved_as_it_stands_filtered_or_whole(visit, width):
    opened = visit(width)
    table = opened.locator("table#performance-chexpert")
    tools = table.locator("xpath=../preceding-sibling::div[contains(@class,'tools')][1]")

    def saved() -> pd.DataFrame:
        with opened.expect_download() as download:
            tools.get_by_role("button", name="Download").click()
        return pd.read_csv(download.value.path(), dtype=str, keep_default_na=False)

    whole = saved()
    head, *rows = table.evaluate(CELLS)
    assert list(whole.columns) == [" ".join(name.split()) for name in head]
    written = pd.DataFrame(rows, columns=whole.columns).replace(r"\s+", " ", regex=True)
    written = written.replace("−", "-", regex=True)
    pd.testing.assert_frame_equal(whole, written)

    tools.locator("input[type=search]").fill("fmkd cosine")
    tools.locator("summary").click()
    tools.locator("input[type=checkbox]").nth(1).uncheck()
    fewer = saved()
    kept = whole[whole.model.str.contains("FMKD") & (whole.loss == "Cosine")]
    assert 0 < len(kept) < len(whole)
    expected = kept.drop(columns="loss").reset_index(drop=True)
    pd.testing.assert_frame_equal(fewer, expected)


def test_the_numbers_of_a_figure_are_those_of_its_file(visit, results):
    opened = visit(WIDTHS[0])
    opened.locator("a.data[href='#numbers-1'], a.data").first.click()
    fold = opened.locator("details.numbers[open]").first
    fold.locator("tbody tr").first.wait_for()
    subject, _, kind = fold.get_attribute("data-file").rpartition("-")
    with opened.expect_download() as download:
        fold.get_by_role("button", name="Download").click()
    shown = pd.read_csv(download.value.path())
    file = pd.read_csv(results / f"figures/{subject}/{kind}.csv")
    pd.testing.assert_frame_equal(shown, file, rtol=1e-5, check_dtype=False)


def test_every_link_leads_somewhere_and_every_figure_tells_its_numbers(visit):
    opened = visit(WIDTHS[0])
    assert opened.evaluate(BROKEN) == []
    silent = """() => [...document.querySelectorAll("figure")]
      .filter((f) => !f.querySelector(".chart[data-drawn]") && !f.querySelector("a.data"))
      .map((f) => f.id)"""
    assert opened.locator("figure").count() > 20
    names = opened.evaluate(NAMES)
    assert len(names) > 10
    assert all(name.startswith(title) and ": highest " in name for title, name in names)
    assert opened.evaluate(silent) == []


def test_print_has_every_fold_open_and_nothing_wider_than_the_sheet(visit, tmp_path):
    opened = visit(WIDTHS[0], "dark")
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.emulate_media(media="print", color_scheme="dark")
    opened.set_viewport_size(SHEET)
    assert opened.evaluate(SHUT) == 0
    assert opened.evaluate(INK_AND_PAPER) == ["rgb(31, 35, 40)", "rgb(255, 255, 255)"]
    assert sorted(set(opened.evaluate(WIDER))) == []
    pdf = io.BytesIO(opened.pdf(path=str(tmp_path / "page.pdf"), format="A4")).getvalue()
    assert pdf[:4] == b"%PDF"
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") < 80
