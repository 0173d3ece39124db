"""Credentials that Kaggle's client would misread, each in a home folder of its own; none is ever printed."""

import json
import os
from pathlib import Path

import pytest

from planets.sources.kaggle_credentials import CredentialsRefused, NoCredentials, require_credentials

TOKEN, KEY = "KGAT_0123456789abcdef", "0123456789abcdef0123456789abcdef"
PAIR = {"username": "someone", "key": KEY}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("KAGGLE_", "XDG_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    (folder / ".kaggle").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def variables(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"KAGGLE_{name}", value)


@pytest.mark.parametrize("form", ["{}\n", '"{}"', "'{}'", "\ufeff{}", "  {}\r\n"])
def test_what_surrounds_a_variable_is_removed(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    variables(monkeypatch, USERNAME=form.format("someone"), KEY=form.format(KEY))
    require_credentials()
    assert (os.environ["KAGGLE_USERNAME"], os.environ["KAGGLE_KEY"]) == ("someone", KEY)
    variables(monkeypatch, API_TOKEN=form.format(TOKEN))
    require_credentials()
    assert os.environ["KAGGLE_API_TOKEN"] == TOKEN


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"USERNAME": "someone", "KEY": TOKEN}, "KAGGLE_KEY holds a token: set it as KAGGLE_API_TOKEN"),
        ({"USERNAME": TOKEN, "KEY": KEY}, "KAGGLE_USERNAME holds a token: set it as KAGGLE_API_TOKEN"),
        ({"API_TOKEN": KEY}, "KAGGLE_API_TOKEN holds a key and not a token: set it as KAGGLE_KEY"),
        ({"API_TOKEN": json.dumps(PAIR)}, "KAGGLE_API_TOKEN holds the content of a kaggle.json: save that"),
        ({"API_TOKEN": "~/0123456789abcdef"}, "KAGGLE_API_TOKEN names no file: write the token itself"),
        ({"API_TOKEN": f"{TOKEN} {TOKEN}"}, "KAGGLE_API_TOKEN holds illegal characters"),
        ({"USERNAME": "someone", "KEY": f"{KEY}\n{KEY}"}, "KAGGLE_KEY holds illegal characters"),
        ({"USERNAME": "0123456789abcdef@x.org", "KEY": KEY}, "KAGGLE_USERNAME is an e-mail address"),
    ],
)
def test_a_value_in_the_wrong_variable(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], message: str
) -> None:
    variables(monkeypatch, **values)
    with pytest.raises(CredentialsRefused) as error:
        require_credentials()
    assert str(error.value).startswith(message)
    assert "0123456789abcdef" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("kaggle.json", "\ufeff" + json.dumps(PAIR), "kaggle.json is no JSON (Unexpected UTF-8 BOM"),
        ("kaggle.json", json.dumps(PAIR).encode("utf-16"), "kaggle.json is no UTF-8 text"),
        ("kaggle.json", '{"username": "someone", "key": "0123456789abcdef', "kaggle.json is no JSON"),
        ("kaggle.json", "[]", "kaggle.json is no JSON object"),
        ("kaggle.json", json.dumps(PAIR | {"key": TOKEN}), "kaggle.json holds a token: set it as"),
        (
            "kaggle.json",
            json.dumps(PAIR | {"key": KEY + "\n"}),
            "kaggle.json begins or ends with white space",
        ),
        ("access_token", "\ufeff" + TOKEN, "access_token begins or ends with white space, a quotation mark"),
        ("access_token", f'"{TOKEN}"\n', "access_token begins or ends with white space, a quotation mark"),
        ("access_token.txt", json.dumps(PAIR), "access_token.txt holds the content of a kaggle.json"),
    ],
)
def test_a_file_that_the_client_would_pass_over_or_misread(
    home: Path, name: str, content: str | bytes, message: str
) -> None:
    (home / ".kaggle" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CredentialsRefused) as error:
        require_credentials()
    assert message in str(error.value)
    assert str(home / ".kaggle" / name) in str(error.value)
    assert "0123456789abcdef" not in str(error.value)


def test_files_of_the_right_form_are_enough(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, token = home / ".kaggle" / "kaggle.json", home / ".kaggle" / "access_token"
    pair.write_text(json.dumps(PAIR))
    require_credentials()
    pair.unlink()
    token.write_text(TOKEN + "\n")
    require_credentials()
    token.unlink()
    (home / "token").write_text(TOKEN)
    variables(monkeypatch, API_TOKEN=str(home / "token"))
    require_credentials()


def test_a_variable_completes_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".kaggle" / "kaggle.json").write_text(json.dumps({"key": KEY}))
    with pytest.raises(NoCredentials, match=r"`key` in .*kaggle\.json is set and KAGGLE_USERNAME is not"):
        require_credentials()
    variables(monkeypatch, USERNAME="someone")
    require_credentials()


def test_a_broken_file_does_not_matter_beside_variables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".kaggle" / "kaggle.json").write_text("{")
    variables(monkeypatch, USERNAME="someone", KEY=KEY)
    require_credentials()


@pytest.mark.parametrize(
    ("place", "destination"),
    [
        ("Downloads/kaggle.json", ".kaggle/kaggle.json"),
        (".kaggle/kaggle.json.txt", ".kaggle/kaggle.json"),
        (".config/kaggle/kaggle.json", ".kaggle/kaggle.json"),
        (".config/kaggle/access_token", ".kaggle/access_token"),
    ],
)
def test_a_file_where_the_client_does_not_look(home: Path, place: str, destination: str) -> None:
    (home / place).parent.mkdir(parents=True, exist_ok=True)
    (home / place).write_text(json.dumps(PAIR))
    with pytest.raises(NoCredentials) as error:
        require_credentials()
    assert f"Kaggle's client does not read {home / place}: move it to {home / destination}" in str(
        error.value
    )


def test_a_named_folder_replaces_the_others(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (home / ".kaggle" / "kaggle.json").write_text(json.dumps(PAIR))
    variables(monkeypatch, CONFIG_DIR=str(tmp_path / "named"))
    with pytest.raises(NoCredentials, match=r"does not read .*\.kaggle/kaggle\.json: move it to .*/named/"):
        require_credentials()


def test_a_variable_that_the_client_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    variables(monkeypatch, API_KEY=KEY)
    with pytest.raises(
        NoCredentials, match="KAGGLE_API_KEY is set, which Kaggle's client does not read"
    ) as error:
        require_credentials()
    assert KEY not in str(error.value)
