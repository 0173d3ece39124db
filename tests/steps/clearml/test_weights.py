"""Pretrained weights at an address or of a ClearML model: fetched once by a host's workers, and checked."""

import hashlib
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from support.sdk_process import running_task

OTHER = "0" * 64
OLD, NEW = b"weights" * 10_000, b"other weights"


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A web server with one file of weights, which counts the requests for it."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "model.safetensors").write_bytes(OLD)
    requests = Counter()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            requests[self.path] += 1
            super().do_GET()

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        server.requests = requests
        server.file = folder / "model.safetensors"
        server.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _entry(weights, digest=""):
    from planets.config.training import ModelEntry

    return ModelEntry(
        name="tiny",
        architecture="test_resnet",
        pretrained=True,
        weights=weights,
        weights_sha256=digest,
        license="none",
    )


def fetch_all(url, digest, file):
    """Fetch weights from everywhere in one process: each takes seconds to start."""
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from clearml import OutputModel

    from planets.errors import PlanetsError
    from steps.clearml.errors import StepError
    from steps.clearml.uploads import upload_model
    from steps.clearml.weights import with_local_weights

    def content(weights, digest=""):
        return Path(with_local_weights(_entry(weights, digest)).weights).read_bytes()[:20].decode()

    def refusal(weights, digest):
        try:
            return content(weights, digest)
        except (PlanetsError, StepError) as error:
            return f"{type(error).__name__}: {error}"

    with running_task("train_a") as task, ThreadPoolExecutor(4) as pool:
        found = {"alone": content(f"{url}?alone", digest)}
        found["together"] = list(pool.map(content, [f"{url}?together"] * 4, [digest] * 4))
        found["refused"] = refusal(url, OTHER)
        found["missing"] = refusal(f"{url}.pth", OTHER)
        found["s3"] = refusal("s3://bucket/model.pth", OTHER)
        found["unknown"] = refusal("1" * 32, "")
        model = OutputModel(task=task, name="pretrained")
        upload_model(model, Path(file))
        found["model"] = content(model.id)
        Path(file).write_bytes(NEW)
        found["changed"] = content(f"{url}?alone", hashlib.sha256(NEW).hexdigest())
    return found


@pytest.fixture(scope="module")
def found(call, web):
    return call(fetch_all, f"{web.url}/model.safetensors", hashlib.sha256(OLD).hexdigest(), str(web.file))


def test_workers_of_a_host_download_once(found, web):
    """ClearML asks for the size of a file first."""
    assert found["together"] == [OLD[:20].decode()] * 4
    requests = {name: web.requests[f"/model.safetensors?{name}"] for name in ("alone", "together")}
    assert requests["together"] == requests["alone"] // 2


def test_a_file_that_changed_at_its_address_is_downloaded_again(found):
    assert (found["alone"], found["changed"]) == (OLD[:20].decode(), NEW.decode())


def test_another_digest_is_refused(found, web):
    digest = hashlib.sha256(OLD).hexdigest()
    message = f"WeightsError: weights: {web.url}/model.safetensors has the SHA-256 {digest}, not {OTHER}"
    assert found["refused"].startswith(message)


@pytest.mark.parametrize(("name", "reason"), [("missing", "404"), ("s3", "s3")])
def test_an_address_without_weights_says_why(found, name, reason):
    error, _, reasons = found[name].partition(" cannot be downloaded: ")
    assert error.startswith("StepError: model tiny: the weights at ")
    assert reason in reasons


def test_the_weights_of_a_clearml_model(found):
    assert found["model"] == OLD[:20].decode()


def test_an_unknown_model_is_refused(found):
    assert found["unknown"].startswith(f"StepError: this server has no model {'1' * 32}")
