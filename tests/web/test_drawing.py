"""Functions behind the pages, on any input: console colours, the diagram of the steps, states, numbers."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.web.runs.dag import HEIGHT, WIDTH, picture
from server.web.runs.nodes import STATES, Node, step_state
from server.web.runs.results import Column
from server.web.shell.text import link, natural, number, size, span
from server.web.tasks import console
from server.web.tasks.console import Piece, pieces, plain
from server.web.tasks.summary import entries

STARTED = STATES.keys() - {"created"}
NAMES = st.sampled_from("abcdefgh")
SCORE = Column(("score",), "Score", ".4f")


@given(st.text(alphabet="\x1b[]m;0123456789ABK\r\n\t\x07 x"))
def test_no_control_character_gets_through(text: str) -> None:
    shown = "".join(piece.text for piece in pieces(text))
    assert not set(shown) & {"\x1b", "\x07"}
    assert not set(plain(text)) & {"\x1b", "\x07", "\r"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", [Piece("plain", "")]),
        ("\x1b[1;31mbad\x1b[0m good", [Piece("bad", "ansi-s1 ansi-31"), Piece(" good", "")]),
        ("\x1b[38;5;9mlight\x1b[39m", [Piece("light", "ansi-91")]),
        ("\x1b[38;2;1;2;3mblack\x1b[m", [Piece("black", "ansi-30")]),
        (
            "\x1b[38;5;196mred\x1b[48;2;0;255;255m on cyan",
            [Piece("red", "ansi-31"), Piece(" on cyan", "ansi-31 ansi-106")],
        ),
        ("\x1b[7;31mswapped", [Piece("swapped", "ansi-41")]),
        ("\x1b[31mtwo\nlines", [Piece("two", "ansi-31"), Piece("\n", ""), Piece("lines", "ansi-31")]),
        (f"\x1b[{'9' * 5000}mlong", [Piece("long", "")]),
        ("\x1b[44mback\x1b[49mground", [Piece("back", "ansi-44"), Piece("ground", "")]),
        ("\x1b[2K\x1b[1Amoved", [Piece("moved", "")]),
        ("\x1b]0;title\x07\x1b]8;;x\x1b\\text", [Piece("text", "")]),
    ],
)
def test_colours(text: str, expected: list[Piece]) -> None:
    assert list(pieces(text)) == expected


def test_a_progress_bar_shows_its_last_state() -> None:
    assert plain(" 10%\r 50%\r100%\nnext\r\n") == "100%\nnext"


@given(st.dictionaries(NAMES, st.lists(st.one_of(NAMES, st.just("?")), max_size=5), max_size=8))
def test_any_plan_is_drawn_without_overlaps(plan: dict[str, list[str]]) -> None:
    drawn = picture([Node(name, "pending", tuple(parents)) for name, parents in plan.items()])
    assert [box.node.name for box in drawn.boxes] == list(plan)
    places = [(box.x, box.y) for box in drawn.boxes]
    assert len(set(places)) == len(places)
    for x, y in places:
        assert 0 <= x <= drawn.width - WIDTH
        assert 0 <= y <= drawn.height - HEIGHT


@given(st.lists(st.sets(st.integers(0, 7), max_size=4), max_size=8))
def test_children_stand_to_the_right_of_their_parents(parents: list[set[int]]) -> None:
    nodes = [
        Node(str(child), "pending", tuple(str(parent) for parent in above if parent < child))
        for child, above in enumerate(parents)
    ]
    places = {box.node.name: box.x for box in picture(nodes).boxes}
    for node in nodes:
        assert all(places[parent] < places[node.name] for parent in node.parents)


def test_names_sort_by_their_numbers() -> None:
    names = ["a", "loss 2", "loss 10", "loss 10 x", "2", "10", ""]
    assert sorted(names, key=natural) == ["", "2", "10", "a", "loss 2", "loss 10", "loss 10 x"]


def test_numbers() -> None:
    assert [span(seconds) for seconds in (0, 59.6, 61, 3600, 90_000)] == [
        "0 s",
        "1:00",
        "1:01",
        "1:00:00",
        "1 day, 1:00:00",
    ]
    assert [size(count) for count in (0, 999, 1234, 5e9, None, "x")] == [
        "0 B",
        "999 B",
        "1.23 kB",
        "5 GB",
        "",
        "",
    ]
    assert [SCORE.show(value) for value in (0.5, "0.25", "x", None)] == ["0.5000", "0.2500", "x", ""]
    assert number(10**400) == str(10**400)


def test_zero_has_no_sign() -> None:
    assert [SCORE.show(value) for value in (-0.0, -0.00001, "-0.0", -0.0001)] == ["0.0000"] * 3 + ["-0.0001"]
    assert [number(value) for value in (-0.0, 0, -1e-9)] == ["0", "0", "-1e-09"]
    assert size(-0.0) == "0 B"


@pytest.mark.parametrize("status", [*STATES, "unknown", "of another version"])
def test_the_state_of_a_step(status: str) -> None:
    run, ended = {"id": "run", "status": "in_progress"}, {"id": "run", "status": "stopped"}
    own, other = {"parent": "run", "status": status}, {"parent": "earlier run", "status": status}
    assert step_state({}, own, run) == STATES.get(status, "pending")
    assert step_state({}, other, run) == "cached"
    assert step_state({"skip_job": True}, own, run) == "skipped"
    assert (step_state({}, None, run), step_state({}, None, ended)) == ("pending", "skipped")
    assert step_state({}, own, ended) == ("skipped" if status not in STARTED else STATES[status])


def test_a_json_parameter_reads_like_its_entries() -> None:
    """Settings were parameters of their own, as ClearML writes values, before they became one JSON object."""
    stored = '{"epochs": 3, "lr": 0.001, "loss": "bce", "flips": true, "patience": null, "sizes": [1, 2]}'
    assert entries(stored) == {
        "epochs": "3", "lr": "0.001", "loss": "bce", "flips": "True", "patience": "", "sizes": "[1, 2]",
    }  # fmt: skip
    assert [entries(other) for other in ("3", "{broken", "[1]", "", "{}")] == [{}] * 5


def test_a_console_that_is_read_in_parts_misses_no_report() -> None:
    """Reports can arrive in any order of their times, and more of them than one answer holds."""
    db = sqlite3.connect(":memory:")
    db.row_factory = sqlite3.Row
    db.execute("CREATE TABLE events (number INTEGER PRIMARY KEY, task, type, timestamp, doc)")
    db.execute("CREATE INDEX events_time ON events (task, type, timestamp, number)")
    count = 3 * console.PAGE
    times = [1_000_000 + 1000 * (count - at) for at in range(count)]
    sql = "INSERT INTO events (task, type, timestamp, doc) VALUES ('t', 'log', ?, json_object('msg', ?))"
    db.executemany(sql, [(time, f"line {at}") for at, time in enumerate(times)])
    after, numbers = 0, []
    while answer := console.since(db, "t", after):
        assert [entry.timestamp for entry in answer] == sorted(entry.timestamp for entry in answer)
        numbers += [entry.number for entry in answer]
        after = max(numbers)
    assert sorted(numbers) == list(range(1, count + 1))
    assert after == console.last_number(db, "t")


@pytest.mark.parametrize(
    "uri", ["javascript:alert(1)", "data:text/html,x", "//evil", "http://[", "", None, 7]
)
def test_links_that_no_browser_may_follow(uri: object) -> None:
    assert link(uri) is None
