"""Results of a run: as it declares them, and from what its steps returned or reported."""

import json

import pytest
from playwright.sync_api import Page, expect
from support import seed
from support.embedded import Embedded

from server.web.runs.nodes import Node
from server.web.runs.results import Results, results_of


def node(name: str, metrics: dict[str, float] | None = None, **returned: str) -> Node:
    entries = {
        name: {name: {"metric": name, "variant": name, "value": value}}
        for name, value in (metrics or {}).items()
    }
    return Node(name, "completed", returned=returned, metrics=json.dumps(entries))


STEPS = [
    node("load", rows="150"),
    node("fit_a", {"loss": 0.5}, label="a", accuracy="0.75"),
    node("fit_b", {"loss": 0.25}, label="b", accuracy="0.5"),
    node("fit_c", label="", accuracy="0"),
    node("choose", label="a", report='{"why": "it is smaller"}'),
]


def shown(results: Results) -> list[tuple[str, list[float]]]:
    return [(row.name, list(row.values.values())) for row in results.rows]


def test_a_declaration_ranks_by_the_first_column_that_says_what_is_better() -> None:
    declared = {
        "columns": [
            {"value": "accuracy", "format": ".1%"},
            {"metric": "loss", "title": "Loss", "better": "lower"},
        ],
        "rows": {"fit_a": {"curves": "load"}, "fit_b": {}, "fit_c": {}, "fit_z": {}},
        "row": "Fit", "name": "label", "best": "choose", "note": "report.why",
    }  # fmt: skip
    results = results_of(json.dumps(declared), STEPS)
    assert shown(results) == [("b", [0.5, 0.25]), ("a", [0.75, 0.5])]
    assert [column.title for column in results.columns] == ["accuracy", "Loss"]
    assert results.columns[0].show(0.75) == "75.0%"
    assert (results.headline_title, results.headline.name, results.note) == ("Best fit", "a", "it is smaller")
    assert [row.work and row.work.name for row in results.rows] == ["fit_b", "load"]
    before = results_of(json.dumps(declared), STEPS[:-1])
    assert (before.headline_title, before.headline.name, before.note) == ("Leading so far", "b", "")
    del declared["best"]
    assert results_of(json.dumps(declared), STEPS).headline_title == "Best fit"


def test_without_a_declaration_the_last_numbers_are_the_results() -> None:
    results = results_of(None, STEPS)
    assert shown(results) == [("fit_a", [0.75]), ("fit_b", [0.5]), ("fit_c", [0.0])]
    assert (results.headline_title, results.headline.name) == ("Last result", "fit_c")
    scalars = results_of(None, [node("a", {"loss": 0.5}), node("b", {":monitor:gpu": 1.0, "loss": 0.25})])
    assert shown(scalars) == [("a", [0.5]), ("b", [0.25])]
    assert results_of(None, [node("a", value="nan"), node("b", value="text")]).headline is None


@pytest.mark.parametrize(
    "stored",
    [
        *('{"columns": 7}', '{"columns": [7, {}, {"title": "x"}, {"value": 3}]}', "[]", "{", None),
        '{"columns": [{"value": "accuracy", "format": "1000000d", "better": 1}], "rows": [1], "name": {}}',
    ],
)
def test_a_declaration_that_cannot_be_read_declares_nothing(stored: str | None) -> None:
    results = results_of(stored, STEPS)
    assert [column.format for column in results.columns] == [""]


def test_a_run_without_a_declaration_shows_its_scores(
    server: Embedded, page: Page, run: seed.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As runs do that were stored before there were declarations."""
    monkeypatch.setattr(seed, "RESULTS", {})
    old = seed.finished_run(server, "earlier good run")
    page.goto(old.path)
    result = page.get_by_role("region", name="Result")
    for text in ("Last result", "select", "valid_f2", "0.9375", "0.925"):
        expect(result).to_contain_text(text)
    rows = page.locator("table", has_text="Curves").get_by_role("row")
    expect(rows.filter(has_text="evaluate_small")).to_contain_text("0.8125")
    page.goto("/?q=good run")
    expect(page.get_by_role("columnheader", name="F2")).to_have_text(["Validation F2", "Test F2"])
    expect(page.get_by_role("row").filter(has_text="earlier good run")).to_contain_text("0.9375")
