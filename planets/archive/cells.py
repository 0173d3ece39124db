"""The cells of a CSV table as people save them: from Kaggle, from an editor, or from Excel in any country."""

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from planets.archive.layout import COLUMNS
from planets.chips import ArchiveError

_DELIMITERS = ",;\t"
"""Excel separates by semicolons where the comma is the decimal sign, and by tabs in "Unicode text"."""

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Cells(NamedTuple):
    """Cells of a table; `rows` holds the line number in the file, from 1, and the cells of each row."""

    path: Path
    header_line: int
    header: list[str]
    rows: list[tuple[int, list[str]]]

    def column(self, name: str) -> list[tuple[int, str]]:
        """Return line number and cell of each row. Raises ArchiveError if the header lacks the column."""
        if name not in self.header:
            raise ArchiveError(
                f"{self.path}, line {self.header_line}: no column {name!r} in {','.join(self.header)!r}; "
                f"the header must be {','.join(COLUMNS)!r}"
            )
        index = self.header.index(name)
        return [(line, cells[index]) for line, cells in self.rows]


def read_cells(path: Path) -> Cells:
    """Read a table in UTF-8 or UTF-16, separated by commas, semicolons or tabs.

    Accepts a byte-order mark, any line ending, quoted cells, blank lines and Excel's first line `sep=;`.

    Raises:
        ArchiveError: the file cannot be read, is no such table, or is empty; the message names the line.
    """
    # Not pandas.read_csv: it pads short rows, and knows no line numbers after blank lines.
    text = _text(path)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise ArchiveError(f"{path}, line {reader.line_num}: not CSV ({error}); fix the quotes") from error
    if rows and _is_separator_line(delimiter.join(rows[0][1])):
        del rows[0]
    if not rows:
        raise ArchiveError(f"{path} is empty; it must start with the line {','.join(COLUMNS)!r}")
    header_line, header = rows[0]
    for line, cells in rows:
        if len(cells) != len(header):
            raise ArchiveError(
                f"{path}, line {line}: {len(cells)} cells where the header has {len(header)}: "
                f"{delimiter.join(cells)!r}; separate the tags with spaces, not commas"
            )
    return Cells(path, header_line, [cell.strip() for cell in header], rows[1:])


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8 CSV") from error
    if "\0" in text[:2]:
        raise ArchiveError(f"{path} is UTF-16 without a byte-order mark; save it as UTF-8 CSV")
    return text


def _delimiter(text: str) -> str:
    """Return the character that separates the cells of the header, which is the first line with a letter."""
    lines = (line for line in text.splitlines() if line.strip(f'{_DELIMITERS} "'))
    header = next(lines, "")
    if _is_separator_line(header):
        return header.strip()[len("sep=") :]
    found: Sequence[str] = [delimiter for delimiter in _DELIMITERS if delimiter in header]
    return found[0] if found else ","


def _is_separator_line(line: str) -> bool:
    return line.strip(' "').lower() in {f"sep={delimiter}" for delimiter in _DELIMITERS}
