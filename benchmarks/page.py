"""The report of 33 models on two datasets, as the thesis's grid has: its size and first paint.

Beside it stands what its pictures alone would weigh. `make browser` installs what opens the page;
without a browser the first paint is not measured.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import made_report
import made_results

from cxrfmkd.report.page import page

# Two models of each, beside three that have no student.
LOSSES = [
    *"mse mae huber cosine mse-cosine mse-cosine-learned".split(),
    *(f"mse-cosine-0.{tenths}" for tenths in range(1, 10)),
]
SMALLEST, QUICKEST = 5.0, 1.0  # goals: MB, s
PAINTS = "performance.getEntriesByType('paint').map((entry) => entry.startTime)"
DRAWN = "document.documentElement.dataset.charts === 'drawn'"


def first_paint(path: Path) -> tuple[float, float] | None:
    """Seconds until something is painted, and until charts are drawn; None without a browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if not chromium:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1440, "height": 900})
        start = time.perf_counter()
        opened.goto(path.as_uri(), timeout=300_000)
        opened.wait_for_function(DRAWN, timeout=300_000)
        drawn = time.perf_counter() - start
        painted = max(opened.evaluate(PAINTS)) / 1000
        browser.close()
    return painted, drawn


def run() -> list[dict]:
    """Draw the study, give the second dataset the first one's figures, write and open the page."""
    made_results.LOSSES = tuple(LOSSES)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        few = [n for n in made_results.shape().catalogue() if not n.startswith("mimic/")]
        data = made_report.study(root / "results", few=few)
        shutil.copytree(root / "results/figures/chexpert", root / "results/figures/mimic")
        second = [
            f.parents[1] / "mimic" / f.name for f in data.figures if f.parent.name == "chexpert"
        ]
        data.figures.extend(second)  # type: ignore[attr-defined]
        start = time.perf_counter()
        html = page(data, "")
        written = time.perf_counter() - start
        (root / "index.html").write_text(html)
        size = (root / "index.html").stat().st_size / 1e6
        pictures = sum(path.stat().st_size for path in data.figures) / 1e6
        times = first_paint(root / "index.html")
    about = {
        "device": "x86_64",
        "n": len(made_results.made.pairs(LOSSES)),
        "megabytes": round(size, 2),
    }
    about |= {"megabytes_of_pictures": round(pictures, 2), "size_goal": SMALLEST}
    rows = [{"name": "report of 33 models, two datasets: written", "ours_s": written, "goal": 60.0}]
    if times:
        names = ("first paint", "all charts drawn")
        goals = (QUICKEST, 30.0)
        rows += [
            {"name": f"report of 33 models, two datasets: {name}", "ours_s": seconds, "goal": goal}
            for name, seconds, goal in zip(names, times, goals, strict=True)
        ]
    return [{"baseline_s": None, "ratio": None} | row | about for row in rows]


if __name__ == "__main__":
    for line in run():
        print(json.dumps(line))
