"""Why each step ran or did not, written down by the controller: the terminal and the pages read it there."""

import json

from clearml import PipelineController, Task

from pipeline.api import Api
from pipeline.config.parameters import WHY
from pipeline.dag.explain import explain


class Reasons:
    """Told of a step by `note`, explains it and stores all reasons as the run's configuration object `why`.

    They stay with the run and not with a step's task: a cached step has the task of an earlier run.
    """

    def __init__(self, api: Api, run: Task, refreshed: frozenset[str]) -> None:
        """`run` is the controller's task; `refreshed` are the steps to run even if the cache has them."""
        self._api = api
        self._run = run
        self._refreshed = refreshed
        self._told: dict[str, str] = {}

    def begun(self, _pipe: PipelineController, node: PipelineController.Node, _before: str) -> None:
        """Be called whenever the state of a step changes; what is known of it is told once."""
        if node.job is not None and node.name not in self._told:
            self.note(node)

    def note(self, node: PipelineController.Node) -> None:
        """Explain a step that has a task, anew if it was explained before."""
        self._told[node.name] = explain(self._api, self._run.id, node.job.task_id(), self._refreshed)
        # By the SDK, whose lock keeps this apart from the DAG that the controller's thread stores.
        self._run.set_configuration_object(WHY, json.dumps(self._told, indent=1), config_type="json")
