"""The page on compatibility is true: calls, arguments that are refused, arguments without effect."""

import json
from pathlib import Path

import pytest
from support import compatibility
from support.embedded import Embedded

from server.dispatch import ANYTHING

RECORDED: dict[str, list[str]] = json.loads(
    (Path(__file__).parent / "data/recorded_arguments.json").read_text()
)
"""The arguments that SDK, agent and web page sent to ClearML's own server while pipelines ran."""


def test_the_page_on_compatibility_is_up_to_date() -> None:
    assert compatibility.PAGE.read_text() == compatibility.page(), (
        "run: python tests/support/compatibility.py"
    )


def test_documented_arguments_are_read_or_refused_by_name(shared: Embedded) -> None:
    refused = compatibility.refused()
    for call, arguments in refused.items():
        for argument in arguments:
            answer = shared.call(call, **{argument: "x"})
            assert answer.error == (400, 12), (call, argument)
            assert f"Unsupported argument {argument!r}" in answer.json["meta"]["result_msg"]


def test_unknown_arguments_are_refused_by_name(shared: Embedded) -> None:
    for call, endpoint in compatibility.endpoints().items():
        answer = shared.call(call, nonsense=["x"])
        if ANYTHING in endpoint.arguments:
            assert "Unsupported argument" not in answer.json["meta"]["result_msg"]
        else:
            assert answer.error == (400, 12), call
            assert "Unsupported argument 'nonsense'" in answer.json["meta"]["result_msg"]


def test_null_and_false_ask_for_nothing(shared: Embedded) -> None:
    assert shared.call("queues.get_default", nonsense=None, other=False).status == 200


@pytest.mark.parametrize("call", sorted(RECORDED.keys() & compatibility.endpoints().keys()))
def test_what_sdk_and_agent_send_is_supported(call: str) -> None:
    endpoint = compatibility.endpoints()[call]
    assert [name for name in RECORDED[call] if not endpoint.supports(name)] == []
