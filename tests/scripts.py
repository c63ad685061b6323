"""The workflow's scripts, run in the tests' own process."""

from __future__ import annotations

import json
import runpy
import sys

import pytest
from locations import SCRIPTS


def run_script(monkeypatch: pytest.MonkeyPatch, name: str, spec: dict, **options) -> None:
    """Run a script in this process, as `python workflow/scripts/<name>.py` would."""
    words = [name, "--spec", json.dumps(spec)]
    for option, value in options.items():
        words += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
