"""Drawing of a run's steps: columns by depth, rows in the order of the plan."""

from dataclasses import dataclass

from server.web.runs.nodes import Node

WIDTH, HEIGHT = 178, 82
GAP_X, GAP_Y = 24, 16
MARGIN = 4


@dataclass(frozen=True)
class Box:
    """A node and its upper left corner."""

    node: Node
    x: int
    y: int


@dataclass(frozen=True)
class Edge:
    """A path (SVG's `d`) from one box to the next; `status` is that of the step where it starts."""

    d: str
    status: str


@dataclass(frozen=True)
class Picture:
    """The layout of a drawn DAG, in pixels."""

    width: int
    height: int
    boxes: list[Box]
    edges: list[Edge]


def picture(nodes: list[Node]) -> Picture:
    """Place the nodes from left to right; edges that other edges imply are not drawn."""
    by_name = {node.name: node for node in nodes}
    parents = _direct_parents(by_name)
    depths = _depths(parents)
    columns: dict[int, list[str]] = {}
    for name in by_name:
        columns.setdefault(depths[name], []).append(name)
    tallest = max((len(column) for column in columns.values()), default=0)
    boxes: dict[str, Box] = {}
    for depth, column in sorted(columns.items()):
        offset = (tallest - len(column)) * (HEIGHT + GAP_Y) // 2
        for row, name in enumerate(_ordered(column, parents, boxes)):
            x, y = MARGIN + depth * (WIDTH + GAP_X), MARGIN + offset + row * (HEIGHT + GAP_Y)
            boxes[name] = Box(by_name[name], x, y)
    edges = [_edge(boxes[parent], boxes[name]) for name, above in parents.items() for parent in above]
    return Picture(
        width=2 * MARGIN + max(len(columns), 1) * (WIDTH + GAP_X) - GAP_X,
        height=2 * MARGIN + max(tallest, 1) * (HEIGHT + GAP_Y) - GAP_Y,
        boxes=[boxes[name] for name in by_name],
        edges=edges,
    )


def _direct_parents(by_name: dict[str, Node]) -> dict[str, list[str]]:
    """Return the parents of each node that no other parent leads to."""
    known = {name: [p for p in node.parents if p in by_name and p != name] for name, node in by_name.items()}
    above: dict[str, set[str]] = {}

    def ancestors(name: str, path: frozenset[str]) -> set[str]:
        if name not in above:
            near = [parent for parent in known[name] if parent not in path]
            reached = set(near)
            for parent in near:
                reached |= ancestors(parent, path | {name})
            above[name] = reached
        return above[name]

    for name in by_name:
        ancestors(name, frozenset({name}))
    return {
        name: [
            p
            for p in near
            if name not in above[p] and not any(p in above[other] for other in near if other != p)
        ]
        for name, near in known.items()
    }


def _depths(parents: dict[str, list[str]]) -> dict[str, int]:
    depths = dict.fromkeys(parents, 0)
    for _ in parents:  # a plan is no deeper than it has nodes, even one with a cycle
        deeper = {name: max((depths[p] + 1 for p in near), default=0) for name, near in parents.items()}
        if deeper == depths:
            break
        depths = {name: min(depth, len(parents) - 1) for name, depth in deeper.items()}
    places = {depth: place for place, depth in enumerate(sorted(set(depths.values())))}
    return {name: places[depth] for name, depth in depths.items()}


def _ordered(column: list[str], parents: dict[str, list[str]], boxes: dict[str, Box]) -> list[str]:
    """Sort a column by the height of its parents, so that few edges cross."""

    def height(name: str) -> float:
        above = [boxes[parent].y for parent in parents[name] if parent in boxes]
        return sum(above) / len(above) if above else 0.0

    return sorted(column, key=height)


def _edge(parent: Box, child: Box) -> Edge:
    x1, y1 = parent.x + WIDTH, parent.y + HEIGHT // 2
    x2, y2 = child.x, child.y + HEIGHT // 2
    middle = (x1 + x2) // 2
    return Edge(f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}", parent.node.status)
