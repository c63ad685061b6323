"""Files that are written completely or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cxrfmkd.runtime import seals
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.storage import storage_errors

TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6
ABANDONED = 24 * 3600.0  # seconds after which a partial file belongs to no running process


@contextmanager
def atomic_write(path: str | Path, sealed: bool = False) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block ends without an error.

    It lies beside `path` and has its suffix, since many writers choose the format by it. Works for
    files; the data is flushed to disk before the rename. The umask decides the file's mode, even
    where a writer makes its files private. sealed: whether a seal beside it says its content, which
    readers compare (see `runtime.seals`). Raises StorageError where the disk is full or the folder
    cannot be written to.
    """
    path = Path(path)
    with storage_errors(path):
        partial = _partial(path)
        try:
            partial.touch()
            mode = partial.stat().st_mode  # what the umask, or the folder's ACL, leaves
            partial.unlink()
            yield partial
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
            partial.chmod(mode)
            if sealed:
                seals.replace_sealed(partial, path)
            else:
                os.replace(partial, path)
                seals.seal_path(path).unlink(missing_ok=True)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `path` when the block ends without an error."""
    path = Path(path)
    with storage_errors(path):
        partial = _partial(path)
        partial.mkdir()
        try:
            yield partial
            if path.exists():
                shutil.rmtree(path)
            os.replace(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _partial(path: Path) -> Path:
    """Where this process writes `path`; what killed processes left of it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in list(path.parent.iterdir()):
        names = rf"\.(\d{{1,9}})\.(?:\.?){re.escape(path.name)}(?:\.seal)?"
        match = re.fullmatch(names, leftover.name)
        if match and (int(match[1]) == os.getpid() or _is_abandoned(leftover, int(match[1]))):
            _remove(leftover)
    return path.with_name(f".{os.getpid()}.{path.name}")


def _is_abandoned(partial: Path, pid: int) -> bool:
    """Whether the process is dead, or its number is another's by now: the partial is old."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    try:
        return time.time() - partial.stat().st_mtime > ABANDONED
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def list_files(root: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Sorted relative paths of the files below `root` that end in one of `suffixes`, in small.

    The one way to walk through a folder of a user's: links are followed, a folder that leads back
    to one above it is not entered again, capitals do not matter, and what is hidden is left out
    (`._x.png` of a Mac, `.ipynb_checkpoints`, `__MACOSX`).
    """
    paths = []
    for folder, folders, names in os.walk(root, followlinks=True):
        here = Path(folder).resolve()
        above = {here, *here.parents}
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "__MACOSX")) and Path(folder, name).resolve() not in above
        ]
        paths += [
            os.path.relpath(os.path.join(folder, name), root)
            for name in names
            if name.lower().endswith(suffixes) and not name.startswith(".")
        ]
    return sorted(paths)


def file_stamp(path: Path) -> list[int]:
    """Size and modification time of a file, or nothing if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def remove_files(folder: Path, pattern: str) -> None:
    """Remove the files below `folder` that `pattern` matches, then what folders are empty.

    Their seals go with them.
    """
    files = sorted(folder.glob(pattern))
    for file in files:
        file.unlink(missing_ok=True)
        seals.seal_path(file).unlink(missing_ok=True)
    for parent in [*dict.fromkeys(file.parent for file in files), folder]:
        with suppress(OSError):  # it is not there, or holds something else
            parent.rmdir()


def write_json(path: str | Path, content: object, sealed: bool = True) -> None:
    """Write `content` as indented JSON, with its seal; NaN is refused, since it is not JSON."""
    with atomic_write(path, sealed=sealed) as partial:
        text = json.dumps(content, indent=2, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> dict:
    """Read a JSON file; InputError if there is none, it is altered, or it is no JSON."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file. Ask Snakemake for it by this name.")
    try:
        return json.loads(seals.verify(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path}: this is no JSON{where}. Delete it and make it again.") from None


def write_table(path: str | Path, table, sealed: bool = True) -> None:
    """Write a pandas DataFrame without its row index, as CSV or Parquet by the suffix of `path`.

    sealed: as in `atomic_write`; not for tables that a user asks for by a path.
    """
    with atomic_write(path, sealed) as partial:
        if partial.suffix == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            table.to_csv(partial, index=False, encoding="utf-8")


def read_table(path: str | Path, **options):
    """Read a CSV or Parquet file, by its suffix, as a pandas DataFrame.

    Raises InputError that names the file if it is missing, altered or no such table.
    """
    import pandas as pd
    import pyarrow as pa

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such table. Ask Snakemake for it by this name.")
    read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
    try:
        return read(seals.verify(path), **options)
    except pd.errors.EmptyDataError:
        raise InputError(
            f"{path}: an empty file, without even a header. Delete it and make it again."
        ) from None
    except (ValueError, OSError, pa.ArrowException) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: it cannot be read as a table ({reason}). Delete it and make it again."
        ) from None


def describe_file(path: str | Path, binary: bool = True) -> str:
    """What a file that should hold a model is instead, for a message; empty where nothing tells.

    binary: whether to tell archives and pickles too, which bare numbers may happen to begin like.
    """
    with open(path, "rb") as file:
        head = file.read(512)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "empty"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the content that it stands for (use `git lfs pull`)"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "a web page, perhaps of a sign-in or an error, that was saved in place of a download"
    if not binary:
        return ""
    if head.startswith(b"PK\x03\x04"):
        if not zipfile.is_zipfile(path):
            return "an archive that is cut short"
        return "an archive of torch.save (or another one), perhaps of more than tensors"
    if head.startswith(TORCH_LEGACY):
        return "of torch.save, but cut short, or with more in it than tensors"
    if re.match(rb"\x80[\x02-\x05]", head):
        return "a Python pickle, which could run any code when it is read"
    return ""
