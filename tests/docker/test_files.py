"""The container files say what they should: checked without an engine; no image is built here."""

import http.server
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from pipeline.config.env_files import read_env_file

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
PROFILES = {
    "embedded": {"server", "controllers", "cpu"},
    "gpu": {"server", "controllers", "cpu", "gpu"},
    "clearml": {"apiserver", "webserver", "fileserver", "elasticsearch", "mongo", "redis"},
    "run": {"run"},
}
HANDED_THROUGH = {name for name, value in SERVICES["cpu"]["environment"].items() if value is None}
"""What the containers get from the shell or .env.local, because it is secret."""


def stage(name):
    """The instructions of a stage."""
    return re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)[1]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_its_services(profile):
    assert {name for name, each in SERVICES.items() if profile in each["profiles"]} == PROFILES[profile]


def test_every_variable_stands_in_env_with_a_comment():
    used = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    assert used <= read_env_file(ROOT / ".env").keys()
    told = False
    for line in (ROOT / ".env").read_text().splitlines():
        assert not line or line.startswith("#") or told, f"no comment above {line}"
        told = line.startswith("#") or (told and bool(line))


def test_no_secret_stands_in_env_and_none_gets_into_an_image():
    names = read_env_file(ROOT / ".env").keys()
    assert [name for name in names if re.search("KEY|SECRET|TOKEN|PASSWORD", name)] == []
    assert "KAGGLE_KEY" in HANDED_THROUGH
    assert HANDED_THROUGH & names == set()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert not any(line.startswith("!.env") for line in ignored)
    assert ".env.local" in (ROOT / ".gitignore").read_text().splitlines()


def test_defaults_in_the_compose_file_are_those_of_env():
    env = read_env_file(ROOT / ".env")
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE_TEXT):
        assert env[name] == default, name


def is_ours(service):
    return service["image"].startswith("${IMAGE:-planets}-")


def test_each_of_our_images_is_built_by_one_service_and_pulled_by_none():
    ours = [service for service in SERVICES.values() if is_ours(service)]
    built = [service["image"] for service in ours if "build" in service]
    assert len(built) == len(set(built)) == 3
    assert set(built) == {service["image"] for service in ours}
    assert all("build" in service or service["pull_policy"] == "never" for service in ours)


def test_every_image_is_pinned():
    for name, service in SERVICES.items():
        image = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["image"])
        assert is_ours(service) or image.rpartition(":")[2] not in ("latest", ""), name
    assert re.search(r"^ARG DEBIAN=debian:bookworm-\d{8}-slim$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^ARG UV=\d+\.\d+\.\d+$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("name", ["server", "worker"])
def test_an_image_has_no_root_a_health_check_and_its_code_last(name):
    text = stage(name)
    assert re.search(r"^USER 1000:1000$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert 'ENTRYPOINT ["tini", "--",' in text
    last, before = text.strip().splitlines()[-1], text.strip().splitlines()[-2]
    assert before == f"COPY --from={name}-packages /opt/venv /opt/venv"
    assert last in ("COPY server server", "COPY . .")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1)])
def test_the_servers_health_check_wants_more_than_an_open_port(tmp_path, status, code):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

    check = json.loads(re.search(r"HEALTHCHECK .*\\\n\s+CMD (\[.*\])", stage("server")).group(1))
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        announced = tmp_path / "server.json"
        announced.write_text(json.dumps({"api": "https://behind.a.proxy", "port": server.server_port}))
        words = [word.replace("/data/server/server.json", str(announced)) for word in check[1:]]
        with subprocess.Popen([sys.executable, *words]) as process:
            server.handle_request()
        assert process.returncode == code


def test_our_containers_have_few_rights_and_share_the_servers_address():
    ours = [service for service in SERVICES.values() if is_ours(service)]
    assert len(ours) == 5
    for service in ours:
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        if service is not SERVICES["server"]:
            assert service["network_mode"] == "service:server"
            assert "server:/data:ro" in service["volumes"]


def test_ports_are_opened_on_this_machine_alone():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert all(port.startswith("${BIND_HOST:-127.0.0.1}:") for port in ports)


def test_every_volume_is_declared():
    named = {volume.partition(":")[0] for each in SERVICES.values() for volume in each.get("volumes", [])}
    assert {name for name in named if not name.startswith("$")} <= COMPOSE["volumes"].keys()


MODULES = {"pyjwt": "jwt"}
"""Modules whose name differs from that of their package."""


def test_the_servers_packages_are_what_the_server_imports():
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["server"]
    packages = {MODULES.get(name, name.replace("-", "_")) for name in group}
    sources = "\n".join(path.read_text() for path in (ROOT / "server").rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", sources, re.MULTILINE))
    assert imported - sys.stdlib_module_names - {"server"} <= packages
    for package in packages:  # plotly is not imported: the page gets a file of it
        assert re.search(rf"\b{package}\b", sources), package


def test_without_an_engine_down_is_silent_and_a_run_says_what_is_missing():
    def call(*words):
        environment = {"PATH": "/usr/bin:/bin", "COMPOSE": "no-such-engine compose"}
        return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)

    down = call("docker/down.sh")
    assert (down.returncode, down.stdout, down.stderr) == (0, "", "")
    run = call("docker/run.sh", "cpu")
    assert run.returncode == 1
    assert "COMPOSE=podman-compose" in run.stderr


def test_the_chart_values_hold_no_key_and_run_the_worker_image():
    values = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "clearml-agent-values.yaml").read_text())
    assert values["clearml"] == {"existingAgentk8sglueSecret": "planets-clearml"}
    agent = values["agentk8sglue"]
    assert agent["queue"] == "gpu"
    environment = {each["name"]: each["value"] for each in agent["basePodTemplate"]["env"]}
    assert environment["CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL"] == "1"
