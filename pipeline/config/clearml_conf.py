"""The file `clearml.conf`: its values are written here, and a file that names no server is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

NO_SERVER = "CLEARML_CONFIG_FILE=/dev/null uses the embedded server instead"


class ConfFileError(PipelineError):
    """The file cannot be read, or names no server."""


def conf_file(environment: Mapping[str, str]) -> Path:
    """Return the path of the file that ClearML reads; it need not exist."""
    return Path(environment.get("CLEARML_CONFIG_FILE") or "~/clearml.conf").expanduser()


def conf_text(settings: Mapping[str, Any], inherited: Path | None = None) -> str:
    """Return the content of a clearml.conf with the settings, over those of another file.

    HOCON as ClearML reads it is JSON without the escapes of letters: `\\u043c` would stay as it is.
    """
    lines = [f"include file({conf_value(str(inherited))})"] if inherited else []
    lines += [f"{name}: {conf_value(value)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def require_server(file: Path) -> None:
    """Check that ClearML can read the file, and that it names a server or keys.

    Raises:
        ConfFileError: it does not; the message names the file and what to do.
    """
    # The agent's parser is the SDK's, but the SDK reads its own configuration on being imported.
    from clearml_agent._vendor.pyparsing.exceptions import ParseBaseException
    from clearml_agent.external.pyhocon import ConfigFactory
    from clearml_agent.external.pyhocon.exceptions import ConfigException

    try:
        tree = ConfigFactory.parse_file(str(file))
        named = [name for name in ("api_server", "host", "credentials") if tree.get(f"api.{name}", None)]
    except (ParseBaseException, ConfigException, UnicodeDecodeError, OSError) as error:
        raise ConfFileError(f"{file} is no valid clearml.conf: {error}; mend it, or {NO_SERVER}") from error
    if not named:
        raise ConfFileError(
            f"{file} names no server (api.api_server) and no keys (api.credentials); `clearml-init` writes "
            f"them, {NO_SERVER}"
        )


def conf_value(value: Any) -> str:
    """Return a value as a clearml.conf, or a variable `CLEARML__...`, holds it.

    HOCON as ClearML reads it is JSON without the escapes of letters: `\\u043c` would stay as it is.
    """
    return json.dumps(value, ensure_ascii=False)
