"""What the pages are drawn from, whatever it is given: the console's colours and the picture of the steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.web.runs.dag import HEIGHT, WIDTH, picture
from server.web.runs.nodes import Node
from server.web.shell.text import link, natural, score, size, span
from server.web.tasks.console import Piece, pieces, plain

NAMES = st.sampled_from("abcdefgh")


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
        ("\x1b[38;2;1;2;3mtrue\x1b[m", [Piece("true", "")]),
        ("\x1b[44mback\x1b[49mground", [Piece("back", "ansi-44"), Piece("ground", "")]),
        ("\x1b[2K\x1b[1Amoved", [Piece("moved", "")]),
        ("\x1b]0;title\x07\x1b]8;;x\x1b\\text", [Piece("text", "")]),
    ],
)
def test_colours(text: str, expected: list[Piece]) -> None:
    assert list(pieces(text)) == expected


def test_of_a_progress_bar_the_last_state_is_shown() -> None:
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


def test_names_with_numbers_stand_in_their_order() -> None:
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
    assert [score(value) for value in (0.5, "0.25", "x", None)] == ["0.5000", "0.2500", "x", ""]


@pytest.mark.parametrize(
    "uri", ["javascript:alert(1)", "data:text/html,x", "//evil", "http://[", "", None, 7]
)
def test_what_no_browser_may_follow(uri: object) -> None:
    assert link(uri) is None
