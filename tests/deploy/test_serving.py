"""The serving example in clearml-serving's own code: its command line, and the loop of its container.

All but the container is real: `clearml-serving create` and `model add` on the embedded server, then the
request processor, which fetches the endpoint's code and model from there. Docker, uvicorn and Kafka, by which
the container receives requests and reports statistics, are not run.
"""

import asyncio
import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import sdk_process
from support.embedded import running

pytestmark = pytest.mark.slow

CODE = Path(__file__).resolve().parents[2] / "deploy" / "serving" / "preprocess.py"
UV = Path(sys.executable).parent / "uv"


def publish(bundle):
    """What a run leaves: an evaluation with a bundle, and a published model that names it."""
    from clearml import OutputModel

    with sdk_process.running_task("evaluate") as task:
        task.upload_artifact("bundle", Path(bundle), wait_on_upload=True)
        model = OutputModel(task=task, name="tiny", framework="PyTorch")
        model.update_weights(str(Path(bundle) / "members" / "tiny.safetensors"), auto_delete_file=False)
        task.flush(wait_for_uploads=True)
        model.set_metadata("evaluate_id", task.id, "str")
        model.publish()
    return model.id


def answer(packages, service, body):
    """Answer a request as the container does."""
    sys.path.insert(0, packages)
    from clearml_serving.serving.model_request_processor import ModelRequestProcessor

    processor = ModelRequestProcessor(task_id=service)
    processor.deserialize(skip_sync=True)
    return asyncio.run(processor.process_request("planets", "", body))


@pytest.fixture
def packages(tmp_path: Path) -> str:
    """A folder with clearml-serving, whose requirements are there."""
    packages = tmp_path / "packages"
    install = [UV, "pip", "install", "--quiet", "--no-deps", "--target", packages, "clearml-serving==1.3.5"]
    subprocess.run(install, check=True)
    return str(packages)


def test_pictures_in_a_request_get_their_tags(packages: str, tmp_path: Path) -> None:
    from support.bundles import PLAIN, TARGETS, make
    from support.synthetic import make_pixels, write_chips

    from planets import Predictor

    chips = write_chips(tmp_path / "chips", make_pixels(TARGETS, size=64))
    make(chips, {"tiny": 32}, PLAIN)[0].save(tmp_path / "best")
    files = [file for _, file in chips[:3]]
    body = {"pictures": [base64.b64encode(file.read_bytes()).decode() for file in files]}
    with running(tmp_path / "server") as server:

        def command(*words: str) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "clearml_serving", *words],
                env=server.environment(tmp_path / "home") | {"PYTHONPATH": packages},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        model = sdk_process.call(server, tmp_path, publish, str(tmp_path / "best"))
        created = re.search(r"id=(\w+)", command("create", "--name", "planets"))
        assert created is not None
        endpoint = ("--engine", "custom", "--endpoint", "planets", "--model-id", model)
        command("--id", created[1], "model", "add", *endpoint, "--preprocess", str(CODE))
        answered = sdk_process.call(server, tmp_path, answer, packages, created[1], body)
    predictions = Predictor(tmp_path / "best").predict(files)
    assert answered == {
        "predictions": [
            {"tags": list(each.tags), "probabilities": pytest.approx(each.probabilities)}
            for each in predictions
        ]
    }
