"""What the site needs beside this folder's pages: those that live beside what they describe."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
# Pages from elsewhere in the checkout, by their name in the site.
PAGES = {
    "config/README.md": "settings.md",
    "resources/README.md": "resources.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
# Links of a page to other files; not to an address, nor to a place on the page itself.
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from elsewhere."""
    for path, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point a page's links at the site's pages, as they lead to files of the checkout there."""
    uri = page.file.src_uri
    source = next((path for path, name in PAGES.items() if name == uri), f"docs/{uri}")

    def place(link: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        return PAGES.get(target, posixpath.relpath(target, "docs"))

    return LINK.sub(place, markdown)
