"""Serves a published model by clearml-serving: the code of an endpoint of its `custom` engine.

    POST {"pictures": ["<JPEG file in Base64>", ...]}
    {"predictions": [{"tags": ["clear", ...], "probabilities": {"clear": 0.98, ...}}, ...]}

clearml-serving stores this one file, and runs it where the project's packages can be imported.
"""

import base64
from collections.abc import Callable
from typing import Any

from clearml import Model, Task

from planets import Prediction, Predictor

Statistics = Callable[[dict[str, Any]], None] | None


class Preprocess:
    """The bundle of the endpoint's model; clearml-serving prescribes the names of class and methods."""

    model_endpoint: Any
    """The endpoint, set by clearml-serving before `load`."""

    def load(self, local_file_name: str | None) -> Predictor:
        """Read the bundle of the evaluation that a published model names.

        The model's own file has the weights of a network, but not the decision that turns scores into tags.
        """
        evaluate_id = Model(self.model_endpoint.model_id).get_metadata("evaluate_id")
        if not evaluate_id:
            raise ValueError(
                f"model {self.model_endpoint.model_id} has no `evaluate_id`: serve a published model"
            )
        bundle = Task.get_task(task_id=evaluate_id).artifacts["bundle"]
        self._predictor = Predictor(bundle.get_local_copy(raise_on_error=True))
        return self._predictor

    def preprocess(
        self, body: dict[str, Any], state: dict[str, Any], collect: Statistics = None
    ) -> list[bytes]:
        """Return the JPEG files of a request."""
        return [base64.b64decode(picture, validate=True) for picture in body["pictures"]]

    def process(
        self, data: list[bytes], state: dict[str, Any], collect: Statistics = None
    ) -> list[Prediction]:
        """Predict the pictures."""
        return self._predictor.predict(data)

    def postprocess(
        self, data: list[Prediction], state: dict[str, Any], collect: Statistics = None
    ) -> dict[str, Any]:
        """Return the answer to a request."""
        return {"predictions": [{"tags": each.tags, "probabilities": each.probabilities} for each in data]}
