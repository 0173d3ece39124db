"""Which evaluated model is the best: among those that were evaluated on the same chips, by `valid_f2`."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.api import Api
from pipeline.errors import Unfinished
from pipeline.leaderboard.evaluated import Evaluated, by_id, evaluated
from pipeline.runs.state import identity
from planets.metrics.significance import Comparison, compare
from steps.clearml.artifacts import load_arrays


@dataclass(frozen=True)
class Contest:
    """Evaluations of the same chips, the best first.

    Attributes:
        split: digest of the chips of valid and test.
        dataset: name and version of the dataset, or its id where it is gone.
        dataset_id: of the version.
        dataset_project: where its page is; empty where it is gone.
        since: when the dataset was registered and the first of the evaluations began.
    """

    split: str
    dataset: str
    dataset_id: str
    dataset_project: str
    since: tuple[str, str]
    entries: tuple[Evaluated, ...]


def contests(api: Api, project: str) -> list[Contest]:
    """The project's contests: of the newest dataset first, and of one dataset the newest split first."""
    found = evaluated(api, project)
    datasets = by_id(api, (each.dataset_id for each in found), "name", "project", "created", "runtime")
    made = []
    for split in {each.split for each in found}:
        entries = sorted((each for each in found if each.split == split), key=lambda each: each.rank)
        first = min(entries, key=lambda each: each.started)
        dataset = datasets.get(first.dataset_id, {})
        name, version = dataset.get("name"), (dataset.get("runtime") or {}).get("version")
        made.append(
            Contest(
                split=split,
                dataset=f"{name} {version}" if name else first.dataset_id,
                dataset_id=first.dataset_id,
                dataset_project=identity(dataset.get("project")),
                since=(dataset.get("created", ""), first.started),
                entries=tuple(entries),
            )
        )
    return sorted(made, key=lambda contest: contest.since, reverse=True)


@dataclass(frozen=True)
class Choice:
    """The best of a contest, or what was asked for, and the best task of each other model of the contest."""

    contest: Contest
    best: Evaluated
    others: tuple[Evaluated, ...]

    def comparisons(self, seed: int) -> dict[str, dict[str, Comparison]]:
        """For each other model and part, how much better the best is, chip by chip."""
        scores = {each.name: load_arrays(each.task_id, "per_chip") for each in (self.best, *self.others)}
        return {
            other.name: {
                part: compare(scores[self.best.name][f"{part}_f2"], scores[other.name][f"{part}_f2"], seed)
                for part in ("valid", "test")
            }
            for other in self.others
        }


def choose(
    api: Api, project: str, found: Sequence[Contest], model: str = "", task: str = "", split: str = ""
) -> Choice:
    """Choose the best of the newest contest, or of that of `split`; only of `model`; or just `task`.

    Raises:
        Unfinished: there is nothing to choose from; the message says what there is.
    """
    if not found:
        raise Unfinished(
            f"no task of the project {project!r} at {api.host} has evaluated a model, completed and is not "
            "archived: make train, or make train.pipeline"
        )
    if task:
        return _chosen_by_task(api, found, task)
    contest = _contest(found, split)
    entries = [each for each in contest.entries if model in ("", each.name)]
    if not entries:
        names = ", ".join(sorted({each.name for each in contest.entries}))
        raise Unfinished(f"no evaluation of {model!r} on the split {contest.split}; there are: {names}")
    return _of(contest, entries[0])


def _contest(found: Sequence[Contest], split: str) -> Contest:
    named = [contest for contest in found if contest.split.startswith(split)]
    if not named:
        known = ", ".join(contest.split for contest in found)
        raise Unfinished(f"nothing was evaluated on a split {split!r}; there are: {known}")
    return named[0]


def _chosen_by_task(api: Api, found: Sequence[Contest], task: str) -> Choice:
    """`task` is an id, the beginning of one, or the address of the task's page."""
    there = [
        (contest, each)
        for contest in found
        for each in contest.entries
        if each.task_id in task or each.task_id.startswith(task)
    ]
    if len(there) > 1:
        raise Unfinished(f"task {task}: the ids of {len(there)} tasks begin so; write more of it")
    if not there:
        raise Unfinished(
            f"task {task} has evaluated no model of this project, did not complete, or is archived; "
            "name an evaluation, an ensemble or a plain training"
        )
    return _of(*there[0])


def _of(contest: Contest, best: Evaluated) -> Choice:
    first_of = {each.name: each for each in reversed(contest.entries)}
    return Choice(contest, best, tuple(each for each in first_of.values() if each.name != best.name))
