"""Choice of the ClearML server: the one that the settings name, or else the embedded one."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from pipeline.errors import PipelineError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout that this package was installed from."""

HOST, WEB, FILES = "CLEARML_API_HOST", "CLEARML_WEB_HOST", "CLEARML_FILES_HOST"
KEY, SECRET = "CLEARML_API_ACCESS_KEY", "CLEARML_API_SECRET_KEY"
NAMES = (HOST, WEB, FILES, KEY, SECRET)


class NoServer(PipelineError):
    """No ClearML server answers where the settings name one, or it refuses the keys."""


def use_kaggle_credentials(folder: Path = ROOT) -> None:
    """Add the `KAGGLE_*` variables of `.env.local` in `folder` to the environment, which workers inherit.

    Variables that are set already keep their values.
    """
    for name, value in dotenv_values(folder / ".env.local").items():
        if name.startswith("KAGGLE_") and value:
            os.environ.setdefault(name, value)


@dataclass(frozen=True)
class Connection:
    """Settings of a server: their origin, and the environment variables that the SDK reads."""

    origin: str
    variables: Mapping[str, str]

    def use(self) -> None:
        """Put the settings into this process's environment; call it before the SDK is imported."""
        os.environ.update(self.variables)


def named_server(environment: Mapping[str, str], folder: Path = ROOT) -> Connection | None:
    """Return the server that is named by the environment, else by `.env.local`, else by `clearml.conf`.

    Raises:
        NoServer: a host is named without keys, or keys without a host.
    """
    local = {name: value for name, value in dotenv_values(folder / ".env.local").items() if value}
    for origin, values in (("the environment", environment), (".env.local", local)):
        variables = {name: values[name] for name in NAMES if values.get(name)}
        missing = [name for name in (HOST, KEY, SECRET) if name not in variables]
        if variables and missing:
            raise NoServer(
                f"{origin} sets {', '.join(variables)} but not {', '.join(missing)}; set all or none of them"
            )
        if variables:
            return Connection(origin, variables)
    conf = Path(environment.get("CLEARML_CONFIG_FILE", "~/clearml.conf")).expanduser()
    return Connection(str(conf), {"CLEARML_CONFIG_FILE": str(conf)}) if conf.is_file() else None
