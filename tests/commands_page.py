"""The reference of the commands, docs/commands.md: `python tests/commands_page.py` writes it."""

from __future__ import annotations

import argparse
import re
from importlib import import_module

from locations import ROOT

from cxrfmkd.cli import COMMANDS

PAGE = ROOT / "docs" / "commands.md"
INTRODUCTION = """# Commands

This page is made from the commands' own help by `python tests/commands_page.py`; a test keeps the
two in step. `cxrfmkd` is what a user needs outside of the workflow; `python -m cxrfmkd` is the
same.
Every command has `--help`. Input that cannot be used ends with one message and exit status 2
([what messages mean](failures.md)). Tables are CSV, Parquet or Excel, however they were written
([what a table may look like](data.md#what-a-table-may-look-like)).

| command | what it does |
| --- | --- |
"""


def page() -> str:
    """The whole page."""
    rows = [f"| [`{name}`](#{name}) | {summary} |" for name, summary in COMMANDS.items()]
    return INTRODUCTION + "\n".join([*rows, *map(section, COMMANDS)]) + "\n"


def section(name: str) -> str:
    """What a command's help says: its description, then its arguments as a table."""
    module = import_module(f"cxrfmkd.commands.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"cxrfmkd {name}")
    module.arguments(parser)
    actions = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    rows = [f"| {signature(action)} | {meaning(action)} |" for action in actions]
    table = ["| argument | meaning |", "| --- | --- |", *rows] if rows else []
    return "\n".join(["", f"## {name}", "", module.__doc__.strip(), "", *table])


def signature(action: argparse.Action) -> str:
    """An argument as one writes it: its flag and what follows."""
    value = action.metavar or action.dest
    value = value if isinstance(value, str) else " ".join(value)
    if not action.option_strings:
        return f"`{value}`"
    if action.nargs == 0:
        return f"`{action.option_strings[0]}`"
    value = value if action.metavar else value.upper()
    many = " …" if action.nargs in ("+", "*") else ""
    return f"`{action.option_strings[0]} {value}{many}`"


def meaning(action: argparse.Action) -> str:
    """Its help with the choices, and whether it is needed."""
    text = (action.help or "") % {"default": action.default}
    if action.choices:
        text += ": " + ", ".join(f"`{choice}`" for choice in action.choices)
    needed = action.required and action.option_strings
    text = re.sub(r"docs/([a-z-]+\.md)", r"[\1](\1)", " ".join(text.split()).replace("|", "\\|"))
    return ("**needed**; " if needed else "") + text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
