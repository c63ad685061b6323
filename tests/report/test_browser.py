"""The page in a browser: what answers a pointer, and that nothing overflows or complains."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import made_report
import pytest

from cxrfmkd.report.page import page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
WIDTHS = (1440, 390)
SMALLEST_LETTER = """() => {
  const texts = document.querySelectorAll("main p, main td, main th, main figcaption, main text");
  const sizes = [...texts].filter((t) => t.textContent.trim() && t.getClientRects().length)
    .map((t) => {
      const matrix = t.ownerSVGElement ? t.getScreenCTM() : { a: 1, b: 0 };
      return parseFloat(getComputedStyle(t).fontSize) * Math.hypot(matrix.a, matrix.b);
    });
  return Math.min(...sizes);
}"""
PALE = """() => [...document.querySelectorAll(".chart[data-drawn]")].map((chart) =>
  [...chart.querySelectorAll(".mark-symbol path")]
    .filter((path) => path.getAttribute("opacity") === "0.12").length)"""
INK_AND_PAPER = """[
  getComputedStyle(document.body).color,
  getComputedStyle(document.querySelector("main")).backgroundColor,
]"""
PAINTS = "performance.getEntriesByType('paint').map((entry) => entry.startTime)"
DRAWN = "document.documentElement.dataset.charts === 'drawn'"


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("report")
    data = made_report.study(folder / "results", few=None)
    (folder / "index.html").write_text(page(data, "c0de"))
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS)
def opened(request, browser, address) -> Iterator:
    """The page at one width, its charts drawn; no message on the console when it is closed."""
    opened = browser.new_page(viewport={"width": request.param, "height": 900})
    messages: list[str] = []
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.on("request", lambda asked: asked.url.startswith("http") and messages.append(asked.url))
    opened.goto(address)
    opened.wait_for_function(DRAWN, timeout=120_000)
    yield opened
    assert messages == []
    opened.close()


def test_nothing_overflows_and_no_letter_is_too_small(opened):
    opened.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    smallest = opened.evaluate(SMALLEST_LETTER)
    assert smallest >= 10.9


def test_a_pointer_reads_model_value_and_interval(opened):
    chart = opened.locator(".chart[data-drawn]").first
    chart.scroll_into_view_if_needed()
    chart.locator("path[aria-roledescription='point'], .mark-symbol path").first.hover(force=True)
    tooltip = opened.locator("#vg-tooltip-element.visible")
    tooltip.wait_for(timeout=5000)
    text = tooltip.inner_text()
    assert "model" in text
    assert "CXR" in text or "Net" in text
    assert " to " in text


def test_a_click_on_a_model_highlights_it_in_every_chart(opened):
    chart = opened.locator(".chart[data-drawn]").first
    chart.scroll_into_view_if_needed()
    chart.locator(".mark-symbol path").first.click(force=True)
    chosen = opened.locator("#picked")
    assert chosen.is_visible()
    name = chosen.inner_text().removeprefix("Highlighted: ").removesuffix(" ✕")
    pale = opened.evaluate(PALE)
    assert sum(count > 0 for count in pale) >= 3
    assert name in opened.locator("tr.picked").first.inner_text()
    opened.keyboard.press("Escape")
    assert not chosen.is_visible()


def test_tables_filter_hide_columns_and_download_what_is_shown(opened, tmp_path):
    table = opened.locator("table#performance-chexpert")
    tools = table.locator("xpath=../preceding-sibling::div[contains(@class,'tools')][1]")
    shown = "table => [...table.tBodies[0].rows].filter(row => !row.hidden).length"
    before = table.evaluate(shown)
    tools.locator("input[type=search]").fill("fmkd cosine")
    after = table.evaluate(shown)
    assert 0 < after < before
    tools.locator("summary").click()
    tools.locator("input[type=checkbox]").nth(1).uncheck()
    with opened.expect_download() as saved:
        tools.get_by_role("button", name="Download").click()
    path = tmp_path / "saved.csv"
    saved.value.save_as(path)
    lines = path.read_text().splitlines()
    assert len(lines) == after + 1
    assert lines[0].startswith("model,AUC-PR")
    assert all("CXR-FMKD" in line for line in lines[1:])


def test_numbers_of_a_figure_open_in_the_page(opened):
    link = opened.locator("a.data").first
    link.click()
    fold = opened.locator("details.numbers").first
    assert fold.evaluate("fold => fold.open")
    opened.wait_for_timeout(200)
    assert fold.locator("tbody tr").count() > 0


def test_links_lead_somewhere_and_the_library_is_kept_for_after_the_first_paint(opened):
    broken = opened.evaluate(
        """() => [...document.querySelectorAll("a[href^='#']")]
          .filter((a) => !document.getElementById(a.getAttribute("href").slice(1))).length"""
    )
    assert broken == 0
    paints = opened.evaluate(PAINTS)
    # A second on a quiet machine; here others may run beside it.
    assert max(paints) < 5000


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_print_and_dark_mode_have_no_message_and_readable_ink(browser, address, tmp_path, scheme):
    opened = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    messages: list[str] = []
    opened.on("console", lambda message: messages.append(message.text))
    opened.goto(address)
    opened.wait_for_function(DRAWN, timeout=120_000)
    ink, paper = opened.evaluate(INK_AND_PAPER)
    brightness = [sum(map(int, c[c.index("(") + 1 : -1].split(",")[:3])) for c in (ink, paper)]
    assert (brightness[0] > brightness[1]) == (scheme == "dark")
    pdf = opened.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    assert pdf[:4] == b"%PDF"
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") < 80
    assert messages == []
    opened.close()
