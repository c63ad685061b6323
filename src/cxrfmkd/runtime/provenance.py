"""What made a result: canonical settings, the hash of the code, the versions of the software."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).parent.parent
# These declare or parse; what matters of them reaches a result through its spec, so editing them
# reruns nothing.
DECLARATIONS = ("cxrfmkd.runtime.arguments", "cxrfmkd.study.settings", "cxrfmkd.runtime.errors")
PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "torch", "torchvision", "tensorflow")


def canonical(settings: object) -> str:
    """`settings` as JSON that is the same for equal settings, whatever the order of their keys."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(path: str | Path) -> str:
    """Hash of a file's content, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: object) -> str:
    """A short name for a combination of settings, code and data: 16 hexadecimal digits."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]


def _file(module: str) -> Path | None:
    """The source of one of this package's modules; None for any other, and for the package itself."""
    parts = module.split(".")
    if parts[0] != "cxrfmkd" or len(parts) == 1:
        return None
    path = SOURCE.joinpath(*parts[1:])
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").is_file() else None


@functools.cache
def _parsed(path: Path) -> tuple[str, frozenset[str]]:
    """The meaning of a file (its syntax tree without docstrings) and the modules that it imports."""
    tree = ast.parse(path.read_text())
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            imported.add(node.module)
            imported.update(f"{node.module}.{name.name}" for name in node.names)
        documented = isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
        )
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree), frozenset(imported)


def modules(script: str | Path) -> list[str]:
    """Every module of this package that `script` imports, directly or not, sorted."""
    found: set[str] = set()
    waiting = list(_parsed(Path(script))[1])
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if path is None or name in found or name in DECLARATIONS:
            continue
        found.add(name)
        waiting.extend(_parsed(path)[1])
    return sorted(found)


@functools.cache
def code_hash(script: str | Path) -> str:
    """Hash of the code that `script` runs: its own and that of every module of ours it imports.

    Comments, docstrings and formatting do not count, nor do file times: only an edit that can
    change a result changes the hash.
    """
    texts = {name: _parsed(_file(name))[0] for name in modules(script)}
    return fingerprint(_parsed(Path(script))[0], texts)


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Python and the installed versions of `packages`; an absent one is left out."""
    found = {"python": platform.python_version(), "platform": sys.platform}
    for package in packages:
        if find_spec(package.replace("scikit-learn", "sklearn")):
            found[package] = metadata.version(package)
    return found


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
