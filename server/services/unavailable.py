"""Calls that make no sense on this server: refused with the reason, as a feature that is off."""

from server.dispatch import ANYTHING, Call, Handler, Service
from server.errors import BadRequest

KEYS = "this server has one pair of keys, in credentials.json of its data folder"
ONE_USER = "this server has one user"
HOSTED = "sharing by link is a feature of ClearML's hosted service"

REASONS = {
    "auth.create_credentials": KEYS,
    "auth.edit_credentials": KEYS,
    "auth.revoke_credentials": KEYS,
    "auth.edit_user": ONE_USER,
    "reports.share": HOSTED,
    "server.config": "settings are command-line options here, see python -m server --help",
    "server.get_stats": "this server collects no statistics about its use",
    "tasks.share": HOSTED,
    "users.create": ONE_USER,
    "users.delete": ONE_USER,
    "users.set_role": ONE_USER,
    "users.update": ONE_USER,
}
"""The reason for each refused call."""


class FeatureOff(BadRequest):
    """This server does not have the feature."""


def _refusal(name: str) -> Handler:
    def refuse(call: Call) -> dict[str, object]:
        raise FeatureOff(f"{name} is not available: {REASONS[name]}")

    return refuse


def _services() -> tuple[Service, ...]:
    services: dict[str, Service] = {}
    for name in REASONS:
        group, _, action = name.partition(".")
        service = services.setdefault(group, Service(group))
        service.reads(action, ANYTHING)(_refusal(name))
    return tuple(services.values())


auth, reports, server, tasks, users = _services()
