"""Crashes of the server and of an agent: what lives continues, the rest ends, and keys stay private."""

import json
import signal
import threading
from pathlib import Path

import psutil
import pytest
from support.embedded import wait_for
from support.processes import alive, kill

pytestmark = pytest.mark.slow

ONE_WORKER = ["stack.workers.cpu=1", "stack.workers.services=1", "evaluation.ensemble=false"]


@pytest.fixture(scope="module")
def checkout(trained, tmp_path_factory):
    """Its commands see a temporary folder of their own, where it shows what they leave."""
    folder = tmp_path_factory.mktemp("shared")
    folder.chmod(0o1777)
    trained.environment["TMPDIR"] = str(folder)
    return trained


class Run:
    """A run in a terminal; `printed` grows while it runs."""

    def __init__(self, checkout, *words):
        self.printed = ""
        self.process = checkout.start("run", "--models", "0", *words, sets=ONE_WORKER)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.printed += line

    def await_text(self, *parts):
        """Wait for a line that has all parts."""

        def seen():
            assert self.process.poll() is None, self.printed
            return [line for line in self.printed.splitlines() if all(part in line for part in parts)]

        return wait_for(seen, f"{parts}", patience=600)

    def end(self):
        code = self.process.wait(900)
        self._reader.join()
        self.process.stdout.close()
        return code


def recorded(checkout):
    """The recorded processes of the stack by name."""
    known = json.loads((checkout.stack / "processes.json").read_text())
    return {process["name"]: psutil.Process(process["pid"]) for process in known}


def processes_of(checkout):
    """All live processes that have to do with this stack."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("CLEARML_CONFIG_FILE", "")]
            if alive(process) and any(word.startswith(str(checkout.stack)) for word in words):
                found.append(process)
        except psutil.Error:
            continue
    return found


def training_of(agent):
    """The process that runs the training, below the agent."""
    return wait_for(
        lambda: next((child for child in agent.children(recursive=True) if is_training(child)), None),
        "the training",
        patience=600,
    )


def is_training(process):
    try:
        return any("train_model" in word for word in process.cmdline())
    except psutil.Error:
        return False


def test_after_a_crash_of_the_server_up_starts_it_alone_and_the_run_completes(checkout):
    run = Run(checkout, "--epochs", "5", "--seed", "11")
    run.await_text("train_", "running")
    before = recorded(checkout)
    kill(before.pop("server"))
    run.await_text("does not answer", "next try in")
    assert "server" in checkout("up", sets=ONE_WORKER)
    after = recorded(checkout)
    assert alive(after.pop("server"))
    assert after == before
    assert run.end() == 0, run.printed
    train = next(step for step in checkout.report()["steps"] if step["name"].startswith("train_"))
    assert "lost" not in train["why"]


def test_keys_reach_no_file_that_others_can_read(checkout):
    secret = checkout.exports()["CLEARML_API_SECRET_KEY"].encode()
    shared = [path for path in Path(checkout.environment["TMPDIR"]).rglob("*") if path.is_file()]
    assert [path for path in shared if secret in path.read_bytes()] == []
    private = [checkout.stack, checkout.stack / "clearml.conf", checkout.output / "run.json"]
    private += [path for name in ("logs", "tmp") for path in (checkout.stack / name).rglob("*")]
    assert any(secret in path.read_bytes() for path in private if path.is_file())
    assert [path for path in private if path.lstat().st_mode & 0o077] == []


def test_up_replaces_a_killed_agent_and_ends_the_step_that_it_left(checkout):
    """Its step is put back at once and continues elsewhere; `down` ends one that a killed agent left."""
    run = Run(checkout, "--epochs", "500", "--seed", "12", "--image-size", "64")
    try:
        run.await_text("train_", "running")
        agent = recorded(checkout)["cpu-0"]
        orphan = training_of(agent)
        kill(agent)
        assert alive(orphan)
        checkout("up", sets=ONE_WORKER)
        assert not alive(orphan)
        again = recorded(checkout)["cpu-0"]
        assert again != agent
        orphan = training_of(again)
        kill(recorded(checkout)["server"])
        run.await_text("does not answer", "next try in")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130, run.printed
        assert "was not stopped" in run.printed
        kill(again)
        assert alive(orphan)
        assert "cpu-0" in checkout("down")
        assert not alive(orphan)
        assert processes_of(checkout) == []
    finally:
        run.process.kill()
        run.end()
        checkout("down")
