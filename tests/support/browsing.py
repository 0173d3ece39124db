"""Login and error log of the browser tests."""

import subprocess
import sys

from playwright.sync_api import Page
from support.embedded import Embedded


def link(server: Embedded) -> str:
    """Return the link that `python -m server link` prints."""
    command = [sys.executable, "-m", "server", "link", "--data", str(server.data)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def listen(page: Page, complaints: list[str]) -> None:
    """Collect the errors of a page in `complaints`.

    plotly.js brings a style sheet for maps, which the page's policy refuses: nothing here draws maps.
    """

    def note(text: str) -> None:
        if "Applying inline style violates" not in text:
            complaints.append(text)

    page.on("pageerror", lambda error: note(str(error)))
    page.on("console", lambda message: note(message.text) if message.type == "error" else None)
