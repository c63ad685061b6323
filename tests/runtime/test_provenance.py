"""The hash of a script's code changes with its meaning, and with nothing else."""

import subprocess

import pytest

from cxrfmkd.runtime import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    source = tmp_path / "src" / "cxrfmkd"
    for room in ("stage", "runtime"):
        (source / room).mkdir(parents=True)
    (source / "__init__.py").write_text("")
    (source / "runtime" / "errors.py").write_text("MESSAGE = 1\n")
    (source / "inner.py").write_text("from cxrfmkd.runtime import errors\ndef f():\n    return 1\n")
    (source / "outer.py").write_text("from cxrfmkd.inner import f\n")
    (source / "stage" / "__init__.py").write_text("from cxrfmkd.inner import f\n")
    (source / "other.py").write_text("x = 1\n")
    script = tmp_path / "run.py"
    script.write_text("import numpy\nfrom cxrfmkd.outer import f\n")
    monkeypatch.setattr(provenance, "SOURCE", source)
    provenance._parsed.cache_clear()
    yield source, script
    provenance._parsed.cache_clear()
    provenance.code_hash.cache_clear()


def fresh_hash(script):
    provenance._parsed.cache_clear()
    provenance.code_hash.cache_clear()
    return provenance.code_hash(script)


def test_only_the_modules_that_a_script_imports_count(package):
    source, script = package
    assert provenance.modules(script) == ["cxrfmkd.inner", "cxrfmkd.outer"]
    before = fresh_hash(script)
    (source / "other.py").write_text("x = 2\n")
    assert fresh_hash(script) == before


def test_an_edit_deep_in_the_imports_counts(package):
    source, script = package
    before = fresh_hash(script)
    (source / "inner.py").write_text("from cxrfmkd.runtime import errors\ndef f():\n    return 2\n")
    assert fresh_hash(script) != before


def test_comments_docstrings_layout_and_messages_do_not_count(package):
    source, script = package
    before = fresh_hash(script)
    (source / "inner.py").write_text(
        '"""Doc."""\nfrom cxrfmkd.runtime import errors\n\n\n'
        'def f():\n    """Doc."""\n    return (1)  # one\n'
    )
    (source / "runtime" / "errors.py").write_text("MESSAGE = 2\n")
    assert fresh_hash(script) == before


BEFORE = """
from typing import TYPE_CHECKING
from cxrfmkd.runtime.errors import InputError
if TYPE_CHECKING:
    from cxrfmkd.other import x
def f(rows: list) -> int:
    if not rows:
        raise InputError(f"no rows")
    log.info("%d rows", len(rows))
    progress.step("loss")
    return 1
"""


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ('f"no rows"', 'f"none of {rows}", 2', False),
        ('"%d rows", len(rows)', '"rows: %d", 0', False),
        ('progress.step("loss")', 'progress.say("loss", 2)', False),
        ("import InputError", "import InputError, some", False),
        ("import x", "import y", False),
        ("rows: list", "rows: set", False),
        ("-> int", "-> float", False),
        ("raise InputError", "raise ValueError", True),
        ("if not rows", "if rows", True),
        ("return 1", "from cxrfmkd.other import x; return 1", True),
    ],
)
def test_what_a_result_cannot_depend_on_does_not_count(package, old, new, counts):
    source, script = package
    (source / "inner.py").write_text(BEFORE)
    before = fresh_hash(script)
    assert old in BEFORE
    (source / "inner.py").write_text(BEFORE.replace(old, new))
    assert (fresh_hash(script) != before) == counts


def test_an_edit_of_the_script_itself_counts(package):
    _, script = package
    before = fresh_hash(script)
    script.write_text(script.read_text() + "f()\n")
    assert fresh_hash(script) != before


def test_a_result_says_its_version_commit_snakemake_and_processor(tmp_path, monkeypatch):
    found = provenance.versions()
    assert {"cxrfmkd", "snakemake", "processor", "python", "torch"} <= set(found)
    checkout = tmp_path / "checkout"
    (checkout / "src/cxrfmkd").mkdir(parents=True)
    (checkout / "file").write_text("one")
    monkeypatch.setattr(provenance, "SOURCE", checkout / "src/cxrfmkd")
    assert provenance.commit.__wrapped__() == ""
    identity = "-c user.name=a -c user.email=a@b -c commit.gpgsign=false".split()
    for words in ("init --quiet", "add file", "commit --quiet --message=one"):
        subprocess.run(["git", *identity, *words.split()], cwd=checkout, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=checkout, text=True).strip()
    assert provenance.commit.__wrapped__() == head[:12]
    (checkout / "file").write_text("two")
    assert provenance.commit.__wrapped__() == f"{head[:12]}+"
    monkeypatch.setenv("PATH", "")
    assert provenance.commit.__wrapped__() == ""


def test_equal_settings_have_one_canonical_text():
    assert provenance.canonical({"b": [1, 2], "a": None}) == provenance.canonical(
        {"a": None, "b": [1, 2]}
    )
    assert provenance.canonical({"lr": 1, "wd": 2}) != provenance.canonical({"lr": 2, "wd": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        provenance.canonical({"x": float("nan")})


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A file of parses, and a process that has parsed nothing yet."""
    monkeypatch.setattr(provenance, "_memory", {})
    monkeypatch.setattr(provenance, "_remembered", set())
    return tmp_path / "parses.json"


def forget():
    provenance._memory.clear()
    provenance._remembered.clear()


def test_what_an_earlier_process_parsed_is_not_parsed_again(package, memory, monkeypatch):
    _, script = package
    before = fresh_hash(script)
    provenance.keep(memory)
    forget()
    provenance.remember(memory)
    monkeypatch.setattr(provenance, "_parse", lambda source: pytest.fail("parsed again"))
    assert fresh_hash(script) == before
    written = memory.stat().st_mtime_ns
    provenance.keep(memory)
    assert memory.stat().st_mtime_ns == written, "written without need"


def test_an_edit_counts_whatever_is_remembered(package, memory):
    source, script = package
    before = fresh_hash(script)
    provenance.keep(memory)
    forget()
    provenance.remember(memory)
    (source / "inner.py").write_text("def f():\n    return 2\n")
    after = fresh_hash(script)
    assert after != before
    forget()
    assert fresh_hash(script) == after


@pytest.mark.parametrize("content", ["{", "[]", '{"parser": "another", "parses": {"a": 1}}'])
def test_damaged_or_old_parses_are_ignored(package, memory, content):
    _, script = package
    before = fresh_hash(script)
    memory.write_text(content)
    forget()
    provenance.remember(memory)
    assert fresh_hash(script) == before


def test_parses_are_not_kept_where_nothing_can_be_written(package, tmp_path, memory):
    _, script = package
    fresh_hash(script)
    (tmp_path / "file").write_text("")
    provenance.keep(tmp_path / "file" / "parses.json")
