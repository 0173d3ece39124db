"""The API's services: every module here registers its calls with a ``Service`` of its own."""

import importlib
import pkgutil

from server.dispatch import Service


def discover() -> tuple[Service, ...]:
    """Import every module of this package and return the services that they define."""
    modules = [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(__path__, prefix=f"{__name__}.")
        if not info.ispkg
    ]
    return tuple(item for module in modules for item in vars(module).values() if isinstance(item, Service))
