"""Command-line arguments of the workflow's scripts: named, typed, all required unless they have a default."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable

from cxrfmkd.runtime.errors import InputError


def parse(doc: str | None, **types: object) -> argparse.Namespace:
    """Parse `--name value` for every keyword, plus `--spec JSON`.

    A keyword's value is what turns the text into an object (`Path`, `KeyedArray.open`, `int`), a
    list of one such (any number of values), or a pair (type, default) for an argument that may be
    left out. The hash of the code, which the workflow puts among the settings, is set apart as
    `code`.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--spec", type=json.loads, default={}, help="settings as JSON")
    for name, kind in types.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(kind, list):
            parser.add_argument(flag, type=kind[0], nargs="*", default=[])
        elif isinstance(kind, tuple):
            parser.add_argument(flag, type=kind[0], default=kind[1])
        else:
            parser.add_argument(flag, type=kind, required=True)
    args = parser.parse_args()
    args.code = args.spec.pop("code", "")
    return args


def run(main: Callable[[], None]) -> None:
    """Run a script's `main`; bad input ends with its message alone and exit status 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
