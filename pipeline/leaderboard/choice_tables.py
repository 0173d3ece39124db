"""What `select` prints: the models that were compared, how sure the choice is, and what was left out."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from pipeline.leaderboard.leaderboard import Choice, Contest
from planets.metrics.significance import Comparison, format_p

SHOWN = 20
"""So many evaluations are shown, the others are counted."""


def show_choice(
    console: Console,
    found: Sequence[Contest],
    choice: Choice,
    comparisons: Mapping[str, Mapping[str, Comparison]],
) -> None:
    """Print the contest's table with the chosen one marked, and which contests are none of it."""
    contest = choice.contest
    console.print(f"compared on {contest.dataset}, split {contest.split}: the same chips for every row")
    console.print(_table(choice, comparisons))
    more = len(contest.entries) - SHOWN
    if more > 0:
        console.print(f"and {more} more below these")
    for other in found:
        if other is not contest:
            console.print(
                f"not compared: {len(other.entries)} on {other.dataset}, split {other.split} "
                f"(--split {other.split[:6]}): other chips"
            )


def _table(choice: Choice, comparisons: Mapping[str, Mapping[str, Comparison]]) -> Table:
    table = Table()
    table.add_column("model", no_wrap=True)
    for heading in ("valid_f2", "test_f2", "best ahead on test"):
        table.add_column(heading, justify="right")
    for heading in ("from", "completed", "task"):
        table.add_column(heading, no_wrap=True)
    others = {each.task_id for each in choice.others}
    for each in choice.contest.entries[:SHOWN]:
        chosen = each is choice.best
        ahead = comparisons[each.name]["test"] if each.task_id in others else None
        table.add_row(
            f"[bold green]{each.name} *[/bold green]" if chosen else each.name,
            f"{each.valid_f2:.4f}",
            f"{each.test_f2:.4f}",
            f"{ahead.difference:+z.4f}, {format_p(ahead.p)}" if ahead else "",
            "pipeline" if each.run_id else "plain training",
            each.completed[:16].replace("T", " "),
            each.task_id[:8],
        )
    return table
