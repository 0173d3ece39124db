"""The console of a task: its lines, their colours, and what it said when it failed."""

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

PAGE = 500
SEARCHED = 200
TAIL = 60
LONGEST_ERROR = 60
LONG = 30

# Colours; operating system commands (a window's title); other sequences; control characters by themselves.
ESCAPE = re.compile(
    r"\x1b\[([0-9;]*)m"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
AGENT = ("Leaving process id", "DONE: Running task", "Process failed, exit code", "Process completed success")
# The SDK's own words in a task's log: true, but not what the task has to say.
SDK = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - clearml|ClearML (?:Task|results|Monitor|new)")
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Piece:
    """Text of one colour; ``style`` names classes of the style sheet."""

    text: str
    style: str


@dataclass(frozen=True)
class Entry:
    """One report to the log: its number in the order of arrival, its time, its lines."""

    number: int
    timestamp: int
    pieces: list[Piece]
    lines: int
    first: str


def newest(db: sqlite3.Connection, task: str, before: int = 0) -> list[Entry]:
    """The last PAGE reports (before the one with that number), oldest first."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM events WHERE task = ? AND type = 'log' AND (? = 0 OR (timestamp, number) <"
        " (SELECT timestamp, number FROM events WHERE number = ?))"
        " ORDER BY timestamp DESC, number DESC LIMIT ?",
        (task, before, before, PAGE),
    ).fetchall()
    return [_entry(row) for row in reversed(rows)]


def since(db: sqlite3.Connection, task: str, number: int) -> list[Entry]:
    """What arrived after the report with that number."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM events WHERE task = ? AND type = 'log' AND number > ?"
        " AND timestamp >= coalesce((SELECT timestamp - 60000 FROM events WHERE number = ?), 0)"
        " ORDER BY timestamp, number LIMIT ?",
        (task, number, number, PAGE),
    ).fetchall()
    return [_entry(row) for row in rows]


def search(db: sqlite3.Connection, task: str, wanted: str) -> list[Entry]:
    """The last reports that contain the text, whatever its case, oldest first."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM events WHERE task = ? AND type = 'log'"
        " AND instr(lower(json_extract(doc, '$.msg')), lower(?))"
        " ORDER BY timestamp DESC, number DESC LIMIT ?",
        (task, wanted, SEARCHED),
    ).fetchall()
    return [_entry(row, wanted) for row in reversed(rows)]


def last_lines(db: sqlite3.Connection, tasks: list[str]) -> dict[str, str]:
    """task -> the last line that it printed itself."""
    found = {}
    for task in tasks:
        rows = db.execute(
            "SELECT json_extract(doc, '$.msg') AS msg FROM events WHERE task = ? AND type = 'log'"
            " ORDER BY timestamp DESC, number DESC LIMIT 12",
            (task,),
        )
        said = (line.strip() for row in rows for line in reversed(plain(row["msg"]).splitlines()))
        own = (line for line in said if line and not line.startswith(AGENT) and not SDK.match(line))
        found[task] = next(own, "")
    return found


def last_error(db: sqlite3.Connection, task: str) -> str:
    """The last traceback in the log, or the last lines where there is none."""
    rows = db.execute(
        "SELECT json_extract(doc, '$.msg') AS msg FROM events WHERE task = ? AND type = 'log'"
        " ORDER BY timestamp DESC, number DESC LIMIT ?",
        (task, TAIL),
    ).fetchall()
    text = "\n".join(plain(row["msg"]) for row in reversed(rows))
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith(AGENT)]
    starts = [index for index, line in enumerate(lines) if TRACEBACK in line]
    shown = lines[starts[-1] :] if starts else lines[-12:]
    return "\n".join([*shown[:2], "  …", *shown[-LONGEST_ERROR:]] if len(shown) > LONGEST_ERROR else shown)


def plain(text: object) -> str:
    """Without escape sequences; of a line that was written over, what was there last."""
    return ESCAPE.sub("", _settled(str(text or "")))


COLUMNS = "number, timestamp, json_extract(doc, '$.msg') AS msg"


def _entry(row: sqlite3.Row, wanted: str = "") -> Entry:
    text = _settled(row["msg"] if isinstance(row["msg"], str) else json.dumps(row["msg"]))
    shown = plain(text)
    return Entry(
        number=row["number"],
        timestamp=row["timestamp"] // 1000,
        pieces=_marked(shown, wanted) if wanted else list(pieces(text)),
        lines=shown.count("\n") + 1,
        first=shown.partition("\n")[0],
    )


def _settled(text: str) -> str:
    """Progress bars write a line again and again after a carriage return: the last one counts."""
    text = text.replace("\r\n", "\n").rstrip("\n\r")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def pieces(text: str) -> Iterator[Piece]:
    """Split by the ANSI colour sequences; other escape and control characters are dropped."""
    style: dict[str, str] = {}
    position = 0
    for match in ESCAPE.finditer(text):
        if match.start() > position:
            yield Piece(text[position : match.start()], " ".join(style.values()))
        position = match.end()
        if match[1] is not None:
            _apply([int(code[:4] or 0) for code in match[1].split(";")], style)
    if position < len(text):
        yield Piece(text[position:], " ".join(style.values()))


def _apply(codes: list[int], style: dict[str, str]) -> None:
    while codes:
        code = codes.pop(0)
        if code == 0:
            style.clear()
        elif code in (38, 48):
            _extended(code, codes, style)
        elif code in (1, 2, 3, 4):
            style[f"s{code}"] = f"ansi-s{code}"
        elif code in (22, 23, 24):
            for name in {22: ("s1", "s2"), 23: ("s3",), 24: ("s4",)}[code]:
                style.pop(name, None)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style["fg"] = f"ansi-{code}"
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style["bg"] = f"ansi-{code}"
        elif code in (39, 49):
            style.pop("fg" if code == 39 else "bg", None)


def _extended(code: int, codes: list[int], style: dict[str, str]) -> None:
    """256 colours: the first 16 are the usual ones, others and true colours stay plain."""
    kind = codes.pop(0) if codes else 0
    if kind == 5 and codes:
        colour = codes.pop(0)
        base = {38: 30, 48: 40}[code] + (60 if colour >= 8 else 0)
        if colour < 16:
            style["fg" if code == 38 else "bg"] = f"ansi-{base + colour % 8}"
    elif kind == 2:
        del codes[:3]


def _marked(text: str, wanted: str) -> list[Piece]:
    parts = re.split(f"({re.escape(wanted)})", text, flags=re.IGNORECASE)
    return [Piece(part, "found" if index % 2 else "") for index, part in enumerate(parts) if part]
