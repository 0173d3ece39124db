"""Console of a task: its log reports in colour, and its last line."""

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from rich.color import Color, ColorSystem, ColorType
from rich.style import Style
from rich.text import Text

PAGE = 500
LOOKBACK = 200
"""Reports before a page in which the agent may have begun to prepare the task."""
MAX_FOUND = 200
LAST_REPORTS = 12
FOLDED_LINES = 30

COLUMNS = "number, timestamp, json_extract(doc, '$.msg') AS msg"
# Colours, which rich reads, as the first group. All else is dropped: operating system commands (a window's
# title, a link), other sequences, control characters. Longer colours than any program prints are no colours.
CONTROL = re.compile(
    r"(\x1b\[[0-9;]{0,60}m)"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
# Lines that the agent and the SDK write into a task's log; errors of the SDK are not among them.
NOT_OWN = re.compile(
    r"Leaving process id|DONE: Running task|Process (?:failed, exit code|completed success|aborted by user)"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - clearml[\w.]* - (?:DEBUG|INFO|WARNING)"
    r"|ClearML (?:Task|results|Monitor|new)"
)
SDK_SETTINGS = "Current configuration"
# An agent reports PULLED and its settings, prepares the task, and reports BEGIN twice: when all is known, and
# before it runs the task.
PULLED = re.compile(r"task \S{1,80} pulled from |Current configuration \(clearml_agent")
STARTING = "Starting Task Execution"
BEGIN = re.compile(rf"{STARTING}|Executing task id \[")


@dataclass(frozen=True)
class Piece:
    """Text in one style, given as classes of the style sheet."""

    text: str
    style: str


@dataclass(frozen=True)
class Entry:
    """One report to the log: its number in order of arrival, its time in ms, its text.

    `by_agent` if the agent or the SDK wrote it, not the task itself.
    """

    number: int
    timestamp: int
    pieces: list[Piece]
    lines: int
    first: str
    by_agent: bool

    @property
    def folded(self) -> bool:
        """True for the settings that the SDK prints: long, and seldom what one looks for."""
        return self.lines > FOLDED_LINES and self.first.startswith(SDK_SETTINGS)


def newest(db: sqlite3.Connection, task: str, before: int = 0) -> list[Entry]:
    """Return the last PAGE reports, or those before the report numbered `before`, oldest first."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM events WHERE task = ? AND type = 'log' AND (? = 0 OR (timestamp, number) <"
        " (SELECT timestamp, number FROM events WHERE number = ?))"
        " ORDER BY timestamp DESC, number DESC LIMIT ?",
        (task, before, before, PAGE),
    ).fetchall()
    return _entries(db, task, rows[::-1])


def since(db: sqlite3.Connection, task: str, number: int) -> list[Entry]:
    """Return the first PAGE reports that arrived after report `number`, oldest first.

    They are taken in order of arrival: reports may arrive out of the order of their times, and a reader that
    asks again with the largest number of each answer misses none.
    """
    rows = db.execute(
        f"SELECT {COLUMNS} FROM events INDEXED BY events_time WHERE task = ? AND type = 'log' AND number > ?"
        " ORDER BY number LIMIT ?",
        (task, number, PAGE),
    ).fetchall()
    return _entries(db, task, sorted(rows, key=lambda row: (row["timestamp"], row["number"])))


def last_number(db: sqlite3.Connection, task: str) -> int:
    """Return the number of the report that arrived last, or 0."""
    sql = "SELECT max(number) AS last FROM events INDEXED BY events_time WHERE task = ? AND type = 'log'"
    return int(db.execute(sql, (task,)).fetchone()["last"] or 0)


def search(db: sqlite3.Connection, task: str, wanted: str) -> list[Entry]:
    """Return the last reports that contain the text, ignoring case, oldest first."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM events WHERE task = ? AND type = 'log'"
        " AND instr(lower(json_extract(doc, '$.msg')), lower(?))"
        " ORDER BY timestamp DESC, number DESC LIMIT ?",
        (task, wanted, MAX_FOUND),
    ).fetchall()
    return [_entry(row, False, wanted) for row in reversed(rows)]


def last_own(db: sqlite3.Connection, task: str, lines: int) -> list[Entry]:
    """Return the last reports of the task itself that have so many lines together, oldest first."""
    chosen: list[Entry] = []
    for entry in reversed(newest(db, task)):
        if not entry.by_agent and sum(other.lines for other in chosen) < lines:
            chosen.append(entry)
    return chosen[::-1]


def whole(db: sqlite3.Connection, task: str) -> str:
    """Return everything that the task reported, as plain text."""
    rows = db.execute(
        "SELECT json_extract(doc, '$.msg') AS msg FROM events WHERE task = ? AND type = 'log'"
        " ORDER BY timestamp, number",
        (task,),
    )
    return "".join(f"{plain(row['msg'])}\n" for row in rows)


def last_lines(db: sqlite3.Connection, tasks: list[str]) -> dict[str, str]:
    """Return by task the last line that it printed itself."""
    return {task: _last_line(db, task) for task in dict.fromkeys(tasks)}


def plain(text: object) -> str:
    """Return the text without escape sequences, and of an overwritten line what stood there last."""
    return CONTROL.sub("", _settled(str(text or "")))


def pieces(text: str) -> Iterator[Piece]:
    """Split text by its ANSI colours; other escape sequences and control characters are dropped."""
    decoded = Text.from_ansi(CONTROL.sub(lambda match: match[1] or "", text))
    position = 0
    for start, end, style in decoded.spans:
        if start > position:
            yield Piece(decoded.plain[position:start], "")
        yield Piece(decoded.plain[start:end], _classes(style) if isinstance(style, Style) else "")
        position = end
    if position < len(decoded.plain):
        yield Piece(decoded.plain[position:], "")


def last_reports(db: sqlite3.Connection, task: str, count: int) -> list[str]:
    """Return the last reports to the log as plain text, the newest first."""
    rows = db.execute(
        "SELECT json_extract(doc, '$.msg') AS msg FROM events WHERE task = ? AND type = 'log'"
        " ORDER BY timestamp DESC, number DESC LIMIT ?",
        (task, count),
    )
    return [plain(row["msg"]) for row in rows]


def _last_line(db: sqlite3.Connection, task: str) -> str:
    reports = last_reports(db, task, LAST_REPORTS)
    lines = (line.strip() for report in reports for line in reversed(report.splitlines()))
    return next((line for line in lines if line and not NOT_OWN.match(line)), "")


def _entries(db: sqlite3.Connection, task: str, rows: list[sqlite3.Row]) -> list[Entry]:
    """Return the entries of rows in order of time; those before decide whether the agent still prepares."""
    if not rows:
        return []
    earlier = db.execute(
        f"SELECT {COLUMNS} FROM events WHERE task = ? AND type = 'log' AND (timestamp, number) < (?, ?)"
        " ORDER BY timestamp DESC, number DESC LIMIT ?",
        (task, rows[0]["timestamp"], rows[0]["number"], LOOKBACK),
    ).fetchall()
    prepares, entries = False, []
    for position, row in enumerate([*earlier[::-1], *rows]):
        report = plain(row["msg"])
        prepares = prepares or PULLED.match(report) is not None
        if position >= len(earlier):
            entries.append(_entry(row, prepares or _is_sdk(report)))
        if STARTING in report:
            prepares = False
    return entries


def _is_sdk(report: str) -> bool:
    """Return True if the report has lines, all of which the agent or the SDK wrote."""
    lines = [line for line in report.splitlines() if line.strip()]
    return bool(lines) and all(NOT_OWN.match(line) for line in lines)


def _entry(row: sqlite3.Row, by_agent: bool, wanted: str = "") -> Entry:
    text = _settled(row["msg"] if isinstance(row["msg"], str) else json.dumps(row["msg"]))
    shown = plain(text)
    return Entry(
        number=row["number"],
        timestamp=row["timestamp"],
        pieces=_marked(shown, wanted) if wanted else list(pieces(text)),
        lines=shown.count("\n") + 1,
        first=shown.partition("\n")[0],
        by_agent=by_agent,
    )


def _settled(text: str) -> str:
    """Return text as a terminal leaves it: a progress bar rewrites its line after each carriage return."""
    text = text.replace("\r\n", "\n").rstrip("\n\r")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _classes(style: Style) -> str:
    """Return the classes of a style; any colour becomes the nearest of the sixteen that the themes define."""
    fonts = {"ansi-s1": style.bold, "ansi-s2": style.dim, "ansi-s3": style.italic, "ansi-s4": style.underline}
    front, back = (style.bgcolor, style.color) if style.reverse else (style.color, style.bgcolor)
    names = [name for name, is_set in fonts.items() if is_set]
    return " ".join([*names, *_colour(front, 30), *_colour(back, 40)])


def _colour(colour: Color | None, base: int) -> list[str]:
    if colour is None or colour.type == ColorType.DEFAULT:
        return []
    number = colour.downgrade(ColorSystem.STANDARD).number or 0
    return [f"ansi-{base + number if number < 8 else base + 52 + number}"]


def _marked(text: str, wanted: str) -> list[Piece]:
    parts = re.split(f"({re.escape(wanted)})", text, flags=re.IGNORECASE)
    return [Piece(part, "found" if index % 2 else "") for index, part in enumerate(parts) if part]
