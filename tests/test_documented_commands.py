"""Every command in the README and the docs is one that its program takes."""

from __future__ import annotations

import argparse
import re
import shlex
from importlib import import_module
from textwrap import indent

import commands_page
import pytest
from locations import ROOT
from snakemake.cli import get_argument_parser
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from cxrfmkd.cli import COMMANDS, main

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
# A line of an indented block, with the lines that it continues on; a block between fences.
BLOCK_LINE = re.compile(r"(?m)^ {4,}((?:.*\\\n)*.*)$")
FENCED = re.compile(r"(?ms)^```bash\n(.*?)^```$")
PROGRAMS = ("cxrfmkd", "snakemake", "make")


def documented() -> list[tuple[str, str]]:
    """(page, command) of every command in a code block."""
    found = []
    for page in PAGES:
        text = page.read_text()
        text = FENCED.sub(lambda block: indent(block[1], "    "), text)
        lines = [line.replace("\\\n", " ") for line in BLOCK_LINE.findall(text)]
        for line in lines:
            for part in re.split(r"&&|\|", line.split(" #")[0]):
                words = part.split()
                if words and words[0] in PROGRAMS and "…" not in part:
                    found.append((page.name, " ".join(words)))
    return sorted(set(found))


COMMAND_LINES = documented()


def of(program: str) -> list[tuple[str, str]]:
    return [(page, line) for page, line in COMMAND_LINES if line.split()[0] == program]


def test_commands_are_found():
    assert min(len(of(program)) for program in PROGRAMS) >= 5


def test_the_page_of_the_commands_is_what_they_say_themselves():
    """`python tests/commands_page.py` writes it."""
    assert commands_page.PAGE.read_text(encoding="utf-8") == commands_page.page()


@pytest.mark.parametrize(("page", "line"), of("cxrfmkd"))
def test_a_documented_command_of_ours_is_taken(page, line):
    _, name, *words = shlex.split(line)
    if name.startswith("-"):
        return
    assert name in COMMANDS, f"{page}: {line}"
    parser = argparse.ArgumentParser(exit_on_error=False)
    import_module(f"cxrfmkd.commands.{name.replace('-', '_')}").arguments(parser)
    try:
        parser.parse_args(words)
    except (argparse.ArgumentError, SystemExit) as error:
        pytest.fail(f"{page}: {line}: {error}")


def test_the_cost_of_the_thesis_is_what_the_page_says(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    command, said = re.findall(r"(?m)^    (cxrfmkd cost .*)\n\n    (\d+ runs in .*)$", page)[0]
    main(shlex.split(command)[1:])
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(("page", "line"), of("snakemake"))
def test_a_documented_snakemake_command_is_taken(page, line):
    """Files of a configuration end where targets begin: `--` stands between them."""
    words = [word for word in shlex.split(line)[1:] if not word.startswith("--profile")]
    profile = ROOT / "profiles" / "slurm"
    words = [word for word in words if word != "profiles/slurm"]
    assert "profiles/slurm" not in line or profile.is_dir()
    other = re.search(r"--executor (\S+)", line)
    if other and not ExecutorPluginRegistry().is_installed(other[1]):
        pytest.skip(f"needs Snakemake's plugin for {other[1]}")
    try:
        args = get_argument_parser([]).parse_args(words)
    except SystemExit:
        pytest.fail(f"{page}: {line}")
    assert all(str(path).endswith(".yaml") for path in args.configfile or []), f"{page}: {line}"


@pytest.mark.parametrize(("page", "line"), of("make"))
def test_a_documented_target_of_make_is_there(page, line):
    targets = [word for word in line.split()[1:] if "=" not in word]
    rules = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text())
    assert set(targets) <= set(rules), f"{page}: {line}"
