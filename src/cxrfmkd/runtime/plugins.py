"""Pieces of a study in its user's own file: losses, backbones, adapters, encoders and metrics.

`plugins` of the configuration names such files; each decorator below registers a piece under a
name, by which the settings then call it (docs/extending.md). Planning finds the names in a file's
source and runs none of it; the jobs that use one of its pieces run it.
"""

from __future__ import annotations

import ast
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.provenance import modules, source_hash

# Kind of piece -> form of its names. The names of losses and backbones are part of paths.
FORMS = {
    "adapter": r"[a-z0-9]+(-[a-z0-9]+)*",
    "backbone": r"[a-z0-9]+(_[a-z0-9]+)*",
    "encoder": r"[a-z0-9]+(-[a-z0-9]+)*",
    "loss": r"(?!.*-on-)[a-z][a-z0-9]*(-[a-z0-9]+)*",
    "metric": r"[a-z][a-z0-9]*(_[a-z0-9]+)*",
}
# Kind -> what a function of it is given.
GIVEN = {
    "adapter": ("raw",),
    "backbone": (),
    "encoder": ("settings",),
    "loss": ("student", "teacher"),
    "metric": ("truth", "scores", "weights"),
}
# Kind -> the module through which jobs use its pieces.
CONSUMERS = {
    "adapter": "cxrfmkd.datasets.adapters",
    "backbone": "cxrfmkd.networks.architectures",
    "encoder": "cxrfmkd.teacher.encoders",
    "loss": "cxrfmkd.training.losses",
    "metric": "cxrfmkd.evaluation.user_metrics",
}
# Kind -> name -> the piece, of the files that this process has run; of a loss what makes it.
REGISTERED: dict[str, dict[str, Any]] = {kind: {} for kind in FORMS}
# Kind -> names that planning found in the files' sources.
DECLARED: dict[str, set[str]] = {kind: set() for kind in FORMS}


def loss(name: str) -> Callable:
    """Register a function, or a module class with parameters of its own, as the loss `name`.

    It gets (student, teacher), each (n, dimension) float32, and gives a scalar tensor, or a dict of
    what is minimised (`loss`) and of the terms that make it up.
    """
    return _register("loss", name, loss_maker)


def backbone(name: str) -> Callable:
    """Register a function without arguments that makes a network of random weights as `name`.

    Its first convolution takes three channels, its last linear layer is the classifier, as in the
    networks of torchvision; both are replaced.
    """
    return _register("backbone", name)


def adapter(name: str, tables: Iterable[str], optional: Iterable[str] = ()) -> Callable:
    """Register a function that reads a dataset's raw tables as the adapter `name`.

    It gets a `datasets.raw.Raw` and gives a frame with a row an image: `image_id`, `patient_id`,
    `study_id`, `path`, `sex`, `age`, `race`, `view`, the findings (1, 0, -1 or missing), `split`
    where the dataset brings one, and any other column. tables, optional: names of the raw tables
    that it needs and that it can use.
    """
    facts = {"NEEDED": tuple(tables), "OPTIONAL": tuple(optional)}
    return _register("adapter", name, lambda read: SimpleNamespace(read=read, **facts))


def encoder(name: str) -> Callable:
    """Register a function that loads a teacher as the source `name` of embeddings.

    It gets a `study.settings.TeacherSource` and gives a function from a list of greyscale PIL
    images to their embeddings, (n, dimension) float32.
    """
    return _register("encoder", name)


def metric(name: str) -> Callable:
    """Register a function that measures a classifier as the metric `name`.

    It gets the truth (0 or 1), the probabilities and the weights (above 0) of the images that have
    a label, each (n,) float64 and read-only, with both classes among them, and gives a number. A
    weight counts an image as that many rows.
    """
    return _register("metric", name)


def loss_maker(loss: Any) -> Callable:
    """What makes a loss anew: the class that it is, or something that returns the function."""
    return loss if isinstance(loss, type) else lambda: loss


def _register(kind: str, name: str, entry: Callable = lambda piece: piece) -> Callable:
    """A decorator that keeps the `entry` of what it stands above."""

    def register(piece: Any) -> Any:
        REGISTERED[kind][name] = entry(piece)
        return piece

    return register


def declare(paths: Iterable[str | Path], taken: Mapping[str, Collection[str]]) -> None:
    """Note the names of the pieces of users' files, which settings may then use.

    taken: names of the package's own pieces, by kind. Raises InputError for one of these, for a
    name that two files register, and as `pieces` does.
    """
    found: dict[tuple[str, str], Path] = {}
    for path in map(Path, paths):
        for kind, name in pieces(path):
            if other := found.get((kind, name)):
                raise InputError(f"plugins: {path} and {other} both register {kind} {name!r}.")
            if name in taken.get(kind, ()):
                raise InputError(
                    f"plugins: {path} registers {kind} {name!r}, a name that is taken. Give it "
                    "another."
                )
            found[kind, name] = path
    for kind, known in DECLARED.items():
        known.clear()
        known.update(name for of, name in found if of == kind)


def used(paths: Iterable[str | Path], script: Path, settings: str) -> dict[str, list[str]]:
    """Path -> hashes of the pieces of users' files that a job uses.

    script: of the job; settings: its own, as text. A job uses what it both could, by its code, and
    names.
    """
    reachable = _reachable(script)
    found = {
        str(path): [
            digest
            for (kind, name), digest in pieces(Path(path)).items()
            if kind in reachable and _names(settings, name)
        ]
        for path in paths
    }
    return {path: hashes for path, hashes in found.items() if hashes}


@cache  # of a plan, which asks for every job
def _reachable(script: Path) -> frozenset[str]:
    """Kinds of pieces that a script could use, by its imports."""
    imported = modules(script)
    return frozenset(kind for kind, module in CONSUMERS.items() if module in imported)


def _names(settings: str, name: str) -> bool:
    return re.search(rf"(?<![a-z0-9_]){re.escape(name)}(?![a-z0-9_])", settings) is not None


def names(kind: str) -> set[str]:
    """Names of the pieces of a kind that this process knows from users' files."""
    return DECLARED[kind] | set(REGISTERED[kind])


def pieces(path: Path) -> dict[tuple[str, str], str]:
    """(kind, name) of the pieces that a file registers -> its hash, found without running it.

    The hash of a piece is of the file without the others. Raises InputError where there is no such
    file, it is no Python, it registers nothing, or a name is not written as a text in the decorator
    or is not of the form that its kind has, or a function takes other arguments than it is given.
    """
    if not path.is_file():
        raise InputError(f"plugins: {path} does not exist.")
    return _pieces(path, path.read_bytes())


@cache
def _pieces(path: Path, source: bytes) -> dict[tuple[str, str], str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise InputError(f"plugins: {path}{line}: this is no Python ({error}).") from None
    registering = registrations(tree, path)
    if not registering:
        raise InputError(
            f"plugins: {path} registers nothing. Write one of @{', @'.join(FORMS)} of "
            "cxrfmkd.plugins above a function (docs/extending.md)."
        )
    all_nodes = list(registering.values())
    hashes = {}
    for piece, own in registering.items():
        body = [node for node in tree.body if node is own or node not in all_nodes]
        hashes[piece] = source_hash(ast.unparse(ast.Module(body, [])))
    return hashes


def registrations(tree: ast.Module, path: Path) -> dict[tuple[str, str], ast.stmt]:
    """(kind, name) of every decorator of a piece in a source -> what it stands above, in order."""
    found = {
        (kind, _name(call, kind, path)): node
        for node in tree.body
        for call in getattr(node, "decorator_list", ())
        if isinstance(call, ast.Call) and (kind := _last_name(call.func)) in FORMS
    }
    for (kind, name), node in found.items():
        if isinstance(node, ast.FunctionDef) and not _takes(node.args, len(GIVEN[kind])):
            given = f"given {', '.join(GIVEN[kind])}" if GIVEN[kind] else "given nothing"
            raise InputError(
                f"plugins: {path}, line {node.lineno}, @{kind}({name!r}): {node.name}"
                f"({ast.unparse(node.args)}) is {given}. Let it take that (docs/extending.md)."
            )
    return found


def _takes(arguments: ast.arguments, n: int) -> bool:
    """Whether a function with these arguments can be called with `n` values alone."""
    most = len(arguments.posonlyargs) + len(arguments.args)
    by_name_alone = any(default is None for default in arguments.kw_defaults)
    enough = n <= most or arguments.vararg is not None
    return most - len(arguments.defaults) <= n and enough and not by_name_alone


def _last_name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _name(call: ast.Call, kind: str, path: Path) -> str:
    where = f"plugins: {path}, line {call.lineno}, @{kind}"
    match call.args[:1]:
        case [ast.Constant(value=str(name))]:
            if not re.fullmatch(FORMS[kind], name):
                extra = " without -on- in it" if kind == "loss" else ""
                joint = "underscores" if kind in ("backbone", "metric") else "hyphens"
                raise InputError(
                    f"{where}: {name!r} must be of small letters, digits and {joint}{extra}."
                )
            return name
    raise InputError(f"{where}: write the name as a text, such as @{kind}('mine').")


def load(paths: Iterable[str | Path]) -> None:
    """Run users' files, so that their pieces are registered.

    Raises InputError with the line where one fails.
    """
    for path in map(Path, paths):
        pieces(path)
        name = f"cxrfmkd_plugin_{path.stem}"
        spec = spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise InputError(f"plugins: {path}: the name of a Python file ends in .py.")
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            line = next((f.lineno for f in reversed(frames) if f.filename == str(path)), "?")
            raise InputError(
                f"plugins: {path}, line {line}: {type(error).__name__}: {error}"
            ) from error
