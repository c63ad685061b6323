"""What made a result: canonical settings, the hash of the code, the versions of the software."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from cxrfmkd.runtime.files import read_json, write_json
from cxrfmkd.runtime.seals import sha256

SOURCE = Path(__file__).parent.parent
PACKAGE = SOURCE.name
# No result depends on how these declare settings (what matters of them is in the spec), parse
# arguments, report progress and errors, choose among equal cards, describe a result, lock a folder,
# or verify a file.
LEFT_OUT = (
    "runtime.arguments",
    "runtime.cards",
    "runtime.errors",
    "runtime.locks",
    "runtime.plugins",
    "runtime.progress",
    "runtime.provenance",
    "runtime.seals",
    "runtime.storage",
    "study.schema",
    "study.settings",
    "training.divergence",
    "training.events",
)
# Calls of methods of these are for people to read.
REPORTING = {"log", "logging", "progress", "warnings"}
PACKAGES = (
    "cxrfmkd",
    "snakemake",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "torch",
    "torchvision",
    "tensorflow",
)


def canonical(settings: object) -> str:
    """`settings` as JSON that is the same for equal settings, whatever the order of their keys."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(*parts: object) -> str:
    """A short name for a combination of settings, code and data: 16 hexadecimal digits."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]


def _file(module: str) -> Path | None:
    """The source of a module of this package; None for any other, and for the package itself."""
    package, *parts = module.split(".")
    if package != PACKAGE or not parts:
        return None
    path = SOURCE.joinpath(*parts)
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _left_out(module: str) -> bool:
    name = module.removeprefix(f"{PACKAGE}.")
    return any(name == other or name.startswith(f"{other}.") for other in LEFT_OUT)


def _names(call: ast.expr) -> list[str]:
    """`self.progress.step(…)` as ["step", "progress", "self"]."""
    names = []
    while isinstance(call, ast.Call | ast.Attribute):
        if isinstance(call, ast.Attribute):
            names.append(call.attr)
            call = call.value
        else:
            call = call.func
    return [*names, call.id] if isinstance(call, ast.Name) else names


def _matters(statement: ast.stmt) -> bool:
    """Whether a result can depend on a statement: not on text alone, reports, or types."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return False
        case ast.Expr(value=ast.Call() as call):
            return not REPORTING & set(_names(call)[1:])
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return False
        case ast.ImportFrom(module=str(module)):
            return not _left_out(module)
    return True


# What was parsed before, by the hash of a file's bytes; and of it, what `remember` has read.
_memory: dict[str, tuple[str, list[str]]] = {}
_remembered: set[str] = set()


def _parser() -> str:
    """What a parse depends on besides the file: this module, and Python's own syntax tree."""
    return fingerprint(sha256(__file__), sys.version)


def remember(path: Path) -> None:
    """Take the parses of an earlier process from `path`; an absent or old file is ignored."""
    try:
        stored = read_json(path)
        parses = stored["parses"] if stored["parser"] == _parser() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return
    _memory.update(parses)
    _remembered.update(parses)


def keep(path: Path) -> None:
    """Leave this process's parses for others, if there are new ones and `path` can be written."""
    if _memory.keys() - _remembered:
        with suppress(OSError, ValueError):
            write_json(path, {"parser": _parser(), "parses": _memory})


@functools.cache
def _parsed(path: Path) -> tuple[str, frozenset[str]]:
    """Hash of what of a file a result can depend on, and the modules that it imports."""
    source = path.read_bytes()
    key = hashlib.sha256(source).hexdigest()
    if key not in _memory:
        text, imported = _parse(source)
        _memory[key] = hashlib.sha256(text.encode()).hexdigest(), sorted(imported)
    digest, modules = _memory[key]
    return digest, frozenset(modules)


def _parse(source: bytes) -> tuple[str, set[str]]:
    """What of a source text a result can depend on, and the modules that it imports.

    That is its syntax tree without docstrings, the arguments of errors, logging, progress and the
    types of arguments. Imports inside functions count as any other.
    """
    tree = ast.parse(source)
    imported: set[str] = set()
    for node in ast.walk(tree):  # parents first, so what is taken out is not visited
        for block in ("body", "orelse", "finalbody"):
            if isinstance(statements := getattr(node, block, None), list):
                setattr(node, block, [one for one in statements if _matters(one)])
        match node:
            case ast.Import():
                imported.update(name.name for name in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                imported.add(module)
                imported.update(f"{module}.{name.name}" for name in node.names)
            case ast.Raise(exc=ast.Call(func=error)):
                node.exc = error
            case ast.Call(func=ast.Name(id="InputError" | "Progress")):
                node.args, node.keywords = [], []
            case ast.arg():
                node.annotation = None
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                node.returns = None
    return ast.dump(tree), imported


def source_hash(source: str) -> str:
    """Hash of what of a source text a result can depend on."""
    return fingerprint(_parse(source.encode())[0])


def modules(script: str | Path) -> list[str]:
    """Every module of this package that `script` imports, directly or not, sorted."""
    reached: set[str] = set()
    pending = set(_parsed(Path(script))[1])
    while pending:
        name = pending.pop()
        path = _file(name)
        if path is not None and name not in reached and not _left_out(name):
            reached.add(name)
            pending |= _parsed(path)[1]
    return sorted(reached)


@functools.cache
def code_hash(script: str | Path) -> str:
    """Hash of the code that `script` runs: its own and that of every module of ours it imports.

    Only an edit that can change a result changes it: not one of comments, docstrings, layout,
    messages, types of arguments or the modules of `LEFT_OUT`, nor a file's time.
    """
    digests = {name: _parsed(_file(name))[0] for name in modules(script)}
    return fingerprint(_parsed(Path(script))[0], digests)


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Python, the processor, the commit of a checkout, and the installed versions of `packages`.

    What is absent or unknown is left out.
    """
    installed = [name for name in packages if find_spec(name.replace("scikit-learn", "sklearn"))]
    found = {
        "python": platform.python_version(),
        "platform": sys.platform,
        "processor": processor(),
        "commit": commit(),
        **{name: metadata.version(name) for name in installed},
    }
    return {name: version for name, version in found.items() if version}


@functools.cache
def commit() -> str:
    """The commit of the checkout that this code is in, `+` where it was edited; "" elsewhere."""
    root = SOURCE.parent.parent
    if not (root / ".git").exists():  # never that of a repository around an installed package
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run([*command, "--dirty=+"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@functools.cache
def processor() -> str:
    """The model of this machine's processor, as Linux names it; else its architecture."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.machine()


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
