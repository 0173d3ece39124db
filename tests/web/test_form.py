"""Checks of a new run's parameters, as a run declares them."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.web.runs.form import checks, faults


def run(**form: Any) -> dict[str, Any]:
    return {"configuration": {"form": {"value": json.dumps(form)}}}


def test_words_and_lists() -> None:
    declared = run(one={"words": ["a", "b"]}, several={"words": ["a", "b.c"], "list": True})
    assert list(faults(declared, {"one": "b", "several": "a, b.c", "other": "?"})) == []
    assert list(faults(declared, {"one": "c", "several": "a,,b.c"})) == [
        "one: 'c' is not accepted; it takes one of: a, b",
        "several: '' is not accepted; it takes one or more of: a, b.c",
    ]
    assert checks(declared)["one"].choices == ("a", "b")
    assert checks(declared)["several"].pattern == r"\s*\[?\s*(a|b\.c)\s*(,\s*(a|b\.c)\s*)*\]?\s*"


@pytest.mark.parametrize(("value", "fine"), [("32", True), ("auto", True), ("31", False), ("65", False),
                                             ("-40", False), ("4e1", False), ("", False)])  # fmt: skip
def test_ranges(value: str, fine: bool) -> None:
    declared = run(size={"words": ["auto"], "minimum": 32, "maximum": 64})
    assert (list(faults(declared, {"size": value})) == []) == fine


@pytest.mark.parametrize(
    ("value", "fine"),
    [("1e-3", True), ("0.5, .5", True), ("[1, 2e3]", True), ("0", False), ("1..2", False), (".", False)],
)
def test_lists_of_numbers(value: str, fine: bool) -> None:
    declared = run(rate={"above": 0, "list": True})
    assert (list(faults(declared, {"rate": value})) == []) == fine
    assert checks(declared)["rate"].accepted == "a number above 0, or several"


def test_a_folder_is_needed_where_another_value_asks_for_it(tmp_path: Path) -> None:
    declared = run(path={"folder_if": {"source": "local"}})
    assert list(faults(declared, {"path": str(tmp_path), "source": "local"})) == []
    assert list(faults(declared, {"path": "/no/such", "source": "sample"})) == []
    assert list(faults(declared, {"path": "/no/such", "source": "local"})) == [
        "path: no folder '/no/such' on this host"
    ]
    assert list(faults(declared, {"path": "", "source": "local"})) == ["path: a folder is needed"]
    assert len(list(faults(declared, {"path": "x\0" + "y" * 5000, "source": "local"}))) == 1


@pytest.mark.parametrize(
    "declared",
    [{}, {"configuration": {"form": 7}}, run(a=1), run(a={"words": 3, "minimum": "x", "folder_if": []})],
)
def test_what_cannot_be_read_checks_nothing(declared: dict[str, Any]) -> None:
    assert list(faults(declared, {"a": "anything"})) == []
