"""Regular expressions of clients: none of them can hold up the server."""

import threading

import pytest
from support.embedded import Answer, Embedded

EXPLOSIVE = "(a|a)+$"
FIELDS = ["name", "comment"]


@pytest.fixture(scope="module")
def victim(shared: Embedded) -> str:
    """A task whose texts make the pattern try 2^60 ways."""
    return shared.new_task(name="a" * 60 + "b", comment="a" * 60 + "b")


@pytest.mark.parametrize(
    "filters", [{"name": EXPLOSIVE}, {"_any_": {"pattern": EXPLOSIVE, "fields": FIELDS}}]
)
def test_exponential_patterns_are_refused(shared: Embedded, victim: str, filters: dict[str, object]) -> None:
    answer = shared.call("tasks.get_all", id=[victim], **filters)
    assert answer.error == (400, 21)
    assert "takes more than 2 s" in answer.json["meta"]["result_msg"]
    assert shared.call("tasks.get_all", id=[victim], name="^a+b$").data["tasks"]


def test_other_callers_are_served_during_a_slow_pattern(shared: Embedded, victim: str) -> None:
    answers: list[Answer] = []

    def attack() -> None:
        answers.append(shared.call("tasks.get_all", id=[victim], name=EXPLOSIVE))

    attacker = threading.Thread(target=attack)
    attacker.start()
    served = 0
    while attacker.is_alive():
        assert shared.call("tasks.get_by_id", task=victim).status == 200
        served += 1
    assert answers[0].error == (400, 21)
    assert served > 20, "the others waited for the pattern"


@pytest.mark.parametrize(
    "pattern", ["(", "(" * 5000, "a{2,1}", "(?P<n>a)(?P<n", "[[:x:]", "a" * 10_001, "\\"]
)
def test_invalid_patterns_are_refused(shared: Embedded, pattern: str) -> None:
    assert shared.call("tasks.get_all", name=pattern).error == (400, 21)
