"""Every kind of figure: where the report has it, its title and its caption (figures.toml)."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """section: of the report; about: one sentence on what it shows; reading: how to read it.

    chart: how to read the report's chart in its place, where there is one and it is no matter of
    course.
    """

    section: str
    title: str
    about: str
    reading: str
    chart: str = ""


TABLE = Path(__file__).with_suffix(".toml")
KINDS = {
    name: Kind(**words) for name, words in tomllib.loads(TABLE.read_text(encoding="utf-8")).items()
}
