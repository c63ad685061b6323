"""A browser, and a checker of accessibility; tests that need them are skipped without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

INSTALL = "make browser installs it"
sync_api = pytest.importorskip("playwright.sync_api", reason=f"Playwright is missing: {INSTALL}")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason=f"axe is missing: {INSTALL}"
)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
if not CHROMIUM:
    pytest.skip(f"Chromium is missing: {INSTALL} on Debian, as root", allow_module_level=True)

LONGEST = 240_000  # ms, for a machine that does other things
RULES = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
}


@contextmanager
def launched() -> Iterator:
    """Chromium, without a window."""
    quiet = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet, timeout=LONGEST)
        yield browser
        browser.close()


def serious(tab, rules: dict) -> list[tuple]:
    """Findings of axe that keep somebody from reading: rule, how often, the first place."""
    violations = axe.Axe().run(tab, options=rules).response["violations"]
    return [
        (rule["id"], len(rule["nodes"]), rule["nodes"][0]["html"][:200])
        for rule in violations
        if rule["impact"] in ("serious", "critical")
    ]
