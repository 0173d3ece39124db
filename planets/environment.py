"""Environment of every process of the project: loopback addresses bypass proxies, and nothing calls home.

Child processes inherit it, so agents and steps have it from the command that started them.
"""

import os
from collections.abc import Iterable, MutableMapping

LOOPBACK = ("127.0.0.1", "::1", "localhost", ".localhost")
"""Entries of NO_PROXY. Requests to the embedded server carry its keys, and a proxy could not reach it."""

QUIET = {
    # ONNX Runtime sends events to Microsoft; it reads this when it is imported.
    "ORT_DISABLE_TELEMETRY": "1",
    # Hugging Face Hub adds usage data to its requests and looks for newer versions.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "DO_NOT_TRACK": "1",
    # `agent.disable_agent_update_check` of every agent that is started from here.
    "CLEARML_AGENT__AGENT__DISABLE_AGENT_UPDATE_CHECK": "true",
}
"""Switches of the libraries' telemetry and update checks."""


def prepare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Complete the environment; called when one of the packages is imported, and harmless when repeated."""
    environment.update(QUIET)
    bypass_proxies(LOOPBACK, environment)


def bypass_proxies(hosts: Iterable[str], environment: MutableMapping[str, str] = os.environ) -> None:
    """Add hosts to those that are reached without a proxy; the user's own entries stay.

    Programs read NO_PROXY or no_proxy, so both get the union.
    """
    named = ",".join(environment.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    entries = [entry.strip() for entry in named.split(",") if entry.strip()]
    # The asterisk, for all hosts, counts only where it stands alone.
    value = "*" if "*" in entries else ",".join(dict.fromkeys([*entries, *hosts]))
    environment["no_proxy"] = environment["NO_PROXY"] = value
