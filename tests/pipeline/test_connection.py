"""Which server is used: the environment, .env.local, clearml.conf, else the embedded one."""

import pytest

from pipeline.connection import HOST, KEY, SECRET, WEB, NoServer, named_server

NAMED = {HOST: "http://127.0.0.1:1", KEY: "key", SECRET: "secret"}


@pytest.fixture
def nowhere(tmp_path):
    return {"CLEARML_CONFIG_FILE": str(tmp_path / "none.conf")}


def test_nothing_named_means_the_embedded_server(tmp_path, nowhere):
    assert named_server(nowhere, tmp_path) is None


def test_the_environment_comes_first(tmp_path, nowhere):
    (tmp_path / ".env.local").write_text(f"{HOST}=http://other\n{KEY}=k\n{SECRET}=s\n")
    found = named_server(nowhere | NAMED | {WEB: "http://web"}, tmp_path)
    assert found is not None
    assert (found.origin, dict(found.variables)) == ("the environment", NAMED | {WEB: "http://web"})


def test_then_env_local(tmp_path, nowhere):
    (tmp_path / ".env.local").write_text("".join(f"{name}={value}\n" for name, value in NAMED.items()))
    found = named_server(nowhere, tmp_path)
    assert found is not None
    assert (found.origin, dict(found.variables)) == (".env.local", NAMED)


def test_then_clearml_conf(tmp_path):
    conf = tmp_path / "clearml.conf"
    conf.write_text("api {}")
    found = named_server({"CLEARML_CONFIG_FILE": str(conf)}, tmp_path)
    assert found is not None
    assert found.variables == {"CLEARML_CONFIG_FILE": str(conf)}


def test_half_a_server_is_refused(tmp_path, nowhere):
    with pytest.raises(NoServer, match=f"sets {HOST} but not {KEY}, {SECRET}"):
        named_server(nowhere | {HOST: "http://127.0.0.1:1"}, tmp_path)
