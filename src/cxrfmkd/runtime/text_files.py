"""Texts that people give: compression and encoding told by their first bytes, lines by number."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import describe_file

LONGEST = 1 << 20  # characters of a line; a longer one belongs to no table
ENCODINGS = (  # UTF-32 first: its mark begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
COMPRESSED: dict[bytes, tuple[str, Callable[..., Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
}
EXCEL_BEFORE_2007 = b"\xd0\xcf\x11\xe0"
IGNORED_MEMBERS = r"/$|^__MACOSX/|(^|/)\."  # of an archive: folders, and what a Mac adds


def read_words(path: Path, source: str = "") -> list[str]:
    """The words of a text file, such as a list of image names."""
    source = source or str(path)
    with reading(path, source) as kind, opened(path, source, kind) as file:
        return [word for line in text_lines(file, source) for word in line.split()]


@contextmanager
def reading(path: Path, source: str) -> Iterator[str]:
    """What kind of file it is, by its first bytes; a damaged one is an InputError that says so."""
    if not path.is_file():
        raise InputError(f"{source}: there is no such file as {path}.")
    kind = "text"
    try:
        kind = _file_kind(path, source)
        yield kind
    except InputError:
        raise
    except Exception as error:
        if kind == "text":
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{source} is {kind} by its first bytes, but it is damaged or cut short "
            f"({reason}). Fetch it again, and compare its size with the publisher's."
        ) from None


@contextmanager
def opened(path: Path, source: str, kind: str) -> Iterator[IO[str]]:
    """A text, uncompressed and decoded as its first bytes say; closed at the end."""
    file: Any
    with ExitStack() as stack:
        if kind == "zip":
            archive = stack.enter_context(zipfile.ZipFile(path))
            members = [name for name in archive.namelist() if not re.search(IGNORED_MEMBERS, name)]
            if len(members) != 1:
                raise InputError(
                    f"{source} is an archive of {len(members)} files. Unpack it, and "
                    "name the one that is meant."
                )
            file = stack.enter_context(archive.open(members[0]))
        else:
            opening = next((opener for name, opener in COMPRESSED.values() if name == kind), open)
            file = stack.enter_context(opening(path, "rb"))
        head = file.peek(512)[:512]  # every reader above is buffered
        if problem := describe_file(path, binary=False) or ("" if head else "empty"):
            raise InputError(f"{source} is {problem}. Fetch it again.")
        encoding = next((name for mark, name in ENCODINGS if head.startswith(mark)), "")
        if not encoding and b"\0" in head[:2]:
            encoding = "utf-16-be" if head.startswith(b"\0") else "utf-16-le"
        text = io.TextIOWrapper(file, encoding or "utf-8", newline="")
        yield stack.enter_context(text)


def text_lines(file: IO[str], source: str) -> Iterator[str]:
    """The lines of a text, none of them endless."""
    number = 0
    try:
        for number, text in enumerate(iter(lambda: file.readline(LONGEST), ""), 1):
            if len(text) == LONGEST or "\0" in text:
                problem = "a NUL byte" if "\0" in text else f"more than {LONGEST:,} characters"
                raise InputError(
                    f"{source}, line {number} has {problem}, so it is no text of a "
                    "table. Name the right file, or fetch it again."
                )
            yield text
    except UnicodeDecodeError as error:
        number += 1 + error.object[: error.start].count(b"\n")
        raise InputError(
            f"{source} is no {error.encoding.upper()} text: in line {number} "
            f"stands the byte 0x{error.object[error.start]:02x}. Save it as UTF-8, such as with "
            "`iconv -f latin1 -t utf-8`."
        ) from None


def _file_kind(path: Path, source: str) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(EXCEL_BEFORE_2007):
        raise InputError(f"{source} is of Excel before 2007. Save it as .xlsx or as CSV.")
    compressed = (kind for magic, (kind, _) in COMPRESSED.items() if head.startswith(magic))
    if head.startswith(b"PAR1"):
        return "Parquet"
    if head.startswith(b"PK\x03\x04"):
        if not zipfile.is_zipfile(path):
            raise InputError(
                f"{source} is an archive or Excel file that is cut short. Fetch it again."
            )
        with zipfile.ZipFile(path) as archive:
            return "Excel" if "[Content_Types].xml" in archive.namelist() else "zip"
    return next(compressed, "text")
