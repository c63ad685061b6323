"""Command-line arguments of the workflow's scripts: named, typed, required without a default."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from types import FrameType
from typing import NoReturn

from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError, StorageError

STORAGE = 74  # sysexits.h, EX_IOERR


def parse(doc: str | None, **types: object) -> argparse.Namespace:
    """Parse `--name value` for every keyword, plus `--spec JSON`.

    A keyword's value is what turns a text into an object (`Path`, `KeyedArray.open`, `int`), a list
    of one such (any number of values), a pair (type, default) for an argument that may be left out,
    or a dict {"NAME": type} for values with a name: `--inputs summary a.csv b.csv --inputs gaps
    c.csv` becomes {"summary": [a, b], "gaps": [c]}. The hash of the code, which the workflow puts
    among the settings, is set apart as `code`; users' files that it names there are run.

    Raises InputError where a type does; a value that is otherwise wrong ends with the usage.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--spec", default="{}", help="settings as JSON")
    for name, kind in types.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(kind, list):
            parser.add_argument(flag, nargs="*", default=[])
        elif isinstance(kind, dict):
            parser.add_argument(flag, nargs="+", action="append", default=[])
        else:
            parser.add_argument(flag, required=not isinstance(kind, tuple))
    args = parser.parse_args()
    # Converted here, since argparse would show the usage instead of an InputError's message.
    for name, kind in {"spec": json.loads, **types}.items():
        try:
            setattr(args, name, _converted(kind, getattr(args, name)))
        except InputError:
            raise
        except ValueError as error:
            parser.error(f"argument --{name.replace('_', '-')}: {error}")
    args.code = args.spec.pop("code", "")
    plugins.load(args.spec.pop("plugins", {}))
    return args


def _converted(kind, texts):
    """One argument's value, from its text or texts."""
    if isinstance(kind, list):
        return [kind[0](text) for text in texts]
    if isinstance(kind, dict):
        (convert,) = kind.values()
        return {name: [convert(text) for text in values] for name, *values in texts}
    if isinstance(kind, tuple):
        return kind[1] if texts is None else kind[0](texts)
    return kind(texts)


def run(main: Callable[[], None]) -> None:
    """Run a script's `main`; what a user can mend or has asked for ends without a traceback.

    Bad input ends with its message alone and exit status 2; a disk that is full or must not be
    written to with 74, since another attempt may find it otherwise. SIGTERM and Ctrl-C end the
    block in which they come, so that nothing partial stays, with the status that a shell gives.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    in_main_thread = threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGTERM, _end) if in_main_thread else None
    try:
        main()
    except InputError as error:
        _leave(str(error), STORAGE if isinstance(error, StorageError) else 2)
    except KeyboardInterrupt:
        _leave("interrupted; what is finished is kept, and the next start goes on from there", 130)
    except BrokenProcessPool:
        _leave(
            "a worker process was killed, most often because memory ran out. Give the job more "
            "memory or fewer threads, and start again: what is finished is kept.",
            1,
        )
    except MemoryError:
        _leave("memory ran out. Give the job more of it, and start again.", 1)
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, former)


def _end(number: int, frame: FrameType | None) -> None:
    """End the process by SystemExit, which leaves every block in good order."""
    raise SystemExit(128 + number)


def _leave(message: str, status: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(status) from None
