"""The models of a run: what its steps returned about them."""

from dataclasses import dataclass

from server.web.runs.nodes import GOOD, Node

JUDGES = ("evaluate", "ensemble")
"""The stages whose steps return what a model scores."""


@dataclass(frozen=True)
class Score:
    """One model that a run evaluated; ``best`` if the run chose it."""

    name: str
    valid_f2: float
    test_f2: float | None
    model_id: str
    evaluation: Node
    training: Node | None
    best: bool


def scores(nodes: list[Node]) -> list[Score]:
    """The models by their ``valid_f2``, the largest first."""
    by_name = {node.name: node for node in nodes}
    chosen = [node for node in nodes if node.stage == "select" and node.status in GOOD]
    best_id = chosen[0].returned.get("model_id") if chosen else None
    found = [_score(node, by_name, best_id) for node in nodes if node.status in GOOD and node.stage in JUDGES]
    return sorted((score for score in found if score), key=lambda score: -score.valid_f2)


def _score(node: Node, by_name: dict[str, Node], best_id: str | None) -> Score | None:
    valid = _number(node.returned.get("valid_f2"))
    # An ensemble of fewer than two models is none, and returns an empty name.
    if valid is None or node.returned.get("name") == "":
        return None
    name = node.returned.get("name") or node.name.partition("_")[2]
    model_id = node.returned.get("model_id", "")
    return Score(
        name=name,
        valid_f2=valid,
        test_f2=_number(node.returned.get("test_f2")),
        model_id=model_id,
        evaluation=node,
        training=by_name.get(f"train_{name}"),
        best=bool(model_id) and model_id == best_id,
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
