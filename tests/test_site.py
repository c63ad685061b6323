"""The documentation as a site: nothing overflows, is fetched from elsewhere or hard to read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from browsers import LONGEST, RULES, launched, serious
from locations import ROOT

pytestmark = pytest.mark.slow
MKDOCS = ROOT / ".venv-docs/bin/mkdocs"
WIDTHS = (390, 1440)
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
IN_THE_DARK = ("index.html", "extending.html", "own-table.html", "commands.html")


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and writes no log of it."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    if not MKDOCS.exists():
        pytest.skip("mkdocs is missing: make docs installs it")
    folder = tmp_path_factory.mktemp("site")
    command = [MKDOCS, "build", "--quiet", "--site-dir", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_can_be_read_and_asks_nobody_else(site, address, scheme):
    pages = sorted(path.name for path in site.glob("*.html"))
    assert len(pages) > 25
    assert set(IN_THE_DARK) <= set(pages)
    messages, wide, hard = [], [], []
    with launched() as browser:
        tab = browser.new_page(color_scheme=scheme, reduced_motion="reduce")
        tab.set_default_timeout(LONGEST)
        tab.on("console", lambda message: messages.append(message.text))
        tab.on("pageerror", lambda error: messages.append(str(error)))
        tab.on("request", lambda r: r.url.startswith(address) or messages.append(r.url))
        for name in pages if scheme == "light" else IN_THE_DARK:
            for width in WIDTHS:
                tab.set_viewport_size({"width": width, "height": 900})
                tab.goto(f"{address}/{name}")
                wide += [(name, width)] if tab.evaluate(OVERFLOW) > 0 else []
            hard += [(name, finding) for finding in serious(tab, RULES)]
    assert (messages, wide, hard) == ([], [], [])
