"""Text files and CSV files, as other programs write them and as other programs read them."""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bocage.disk import write_text

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte-order mark → encoding; the mark of UTF-32 starts with that of UTF-16."""
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a formula in a spreadsheet, also in their full-width forms."""


def read_text(path: Path) -> str:
    """Return the text of a file, with ``\\n`` at the end of lines; its encoding is that of its mark, else UTF-8, else cp1252.

    Windows programs write UTF-16 with a mark, UTF-8 with a mark, or the code page 1252 ("ANSI").

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        It is not a regular file (a pipe would block), or not a text file.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")
    content = path.read_bytes()
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise ValueError(f"it is not a text file in {encoding}: {error.reason}") from error
        text = content.decode("cp1252", errors="replace")
    if "\0" in text or "\N{REPLACEMENT CHARACTER}" in text:
        raise ValueError("it is not a text file in UTF-8, UTF-16 with a byte-order mark, or cp1252")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows of a CSV file that are not empty: line number, and cells without blanks around them.

    The separator is the one of comma, semicolon and tab that is most frequent in the first line.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        It is not a CSV file.
    """
    text = read_text(path)
    reader = csv.reader(io.StringIO(text), delimiter=separator_of(text), skipinitialspace=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    return [(number, cells) for number, cells in rows if any(cells)]


def separator_of(text: str) -> str:
    """Return the one of comma, semicolon and tab that is most frequent in the first line of a CSV file."""
    return max(",;\t", key=text.partition("\n")[0].count)


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file (UTF-8) atomically; its folder must exist."""
    write_text(path, as_csv(rows))


def as_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV. Texts that a spreadsheet would run as a formula are preceded by an apostrophe, line breaks are blanks.

    >>> as_csv([["code", "name"], [-1, "=1+1"]])
    "code,name\\n-1,'=1+1\\n"
    """
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = re.sub(r"[\r\n]+", " ", value)  # one line per row: what follows a line break could be read as another cell
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text.startswith("\t") or text.lstrip().startswith(FORMULA) else text
    return text


def identifier(name: str) -> str:
    """Return a name from outside as letters, digits and underscores without accents; empty if it has no letter and no digit.

    >>> identifier("Île-de-France"), identifier("zone 2")
    ('Ile_de_France', 'zone_2')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"\W+", "_", plain).strip("_")
