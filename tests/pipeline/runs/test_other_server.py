"""A server that is named is used, by the environment as by .env.local, and nothing is started here."""

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exports(trained):
    """What names another server on other ports, with its own agents."""
    trained("up")
    return trained.exports()


def test_the_environment_names_the_server(checkout, exports):
    printed = checkout("run", "--from", "select", environment=exports)
    assert checkout.report()["server"] == exports["CLEARML_API_HOST"]
    assert checkout.states()["select"] == "completed"
    assert "(the environment)" in printed
    assert not checkout.stack.exists()


def test_env_local_names_the_server_and_the_same_run_is_cached_there(checkout, exports):
    lines = [f"{name}={value}\n" for name, value in exports.items()]
    (checkout.folder / ".env.local").write_text("".join(lines))
    printed = checkout("run")
    assert "(.env.local)" in printed
    assert set(checkout.states().values()) == {"cached"}
    assert not checkout.stack.exists()


def test_up_starts_nothing_beside_a_named_server(checkout):
    assert "nothing is started here" in checkout("up", code=1)


def test_wrong_keys_are_reported_as_wrong_keys(checkout, exports):
    wrong = exports | {"CLEARML_API_SECRET_KEY": "wrong"}
    printed = checkout("run", environment=wrong, code=1)
    assert "error:" in printed
    assert "refuses the login" in printed


def test_an_unreachable_server_is_reported_at_once(checkout, exports):
    printed = checkout("run", environment=exports | {"CLEARML_API_HOST": "http://127.0.0.1:9"}, code=1)
    assert "error: no ClearML server answers at http://127.0.0.1:9" in printed
