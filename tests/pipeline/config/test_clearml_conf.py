"""clearml.conf: values of any letters reach ClearML, and files that name no server are refused."""

import pytest
from clearml_agent.external.pyhocon import ConfigFactory

from pipeline.config.clearml_conf import ConfFileError, conf_file, conf_text, require_server
from pipeline.connection import named_server

ODD = 'мой проект/planets "test" #1 ${HOME} 50 % \\ (v2)'


def test_every_letter_arrives(tmp_path):
    folder = tmp_path / "мой проект"
    folder.mkdir()
    (folder / "inherited.conf").write_text(
        conf_text({"sdk": {"place": "old", "other": ODD}}), encoding="utf-8"
    )
    (tmp_path / "clearml.conf").write_text(
        conf_text({"sdk.place": ODD, "sdk.flag": False}, folder / "inherited.conf"), encoding="utf-8"
    )
    tree = ConfigFactory.parse_file(str(tmp_path / "clearml.conf"))
    assert tree["sdk"] == {"place": ODD, "other": ODD, "flag": False}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"api { credentials {", r"clearml.conf is no valid clearml.conf: .*line:1"),
        (b"\xff\xfe\x00", "clearml.conf is no valid clearml.conf"),
        (b"sdk { development {} }", r"names no server \(api.api_server\).*CLEARML_CONFIG_FILE=/dev/null"),
        (b"", "names no server"),
        (b"api {}", "names no server"),
        (b"api: nothing", "names no server|no valid"),
    ],
)
def test_a_file_that_names_no_server_is_refused(tmp_path, content, message):
    file = tmp_path / "clearml.conf"
    file.write_bytes(content)
    with pytest.raises(ConfFileError, match=message):
        named_server({"CLEARML_CONFIG_FILE": str(file)}, tmp_path)


def test_keys_without_a_server_are_those_of_clear_ml(tmp_path):
    file = tmp_path / "clearml.conf"
    file.write_text(conf_text({"api": {"credentials": {"access_key": "a", "secret_key": "b"}}}))
    require_server(file)


def test_no_file_means_the_embedded_server(tmp_path):
    assert named_server({"CLEARML_CONFIG_FILE": "/dev/null"}, tmp_path) is None
    assert conf_file({"CLEARML_CONFIG_FILE": ""}).name == "clearml.conf"
