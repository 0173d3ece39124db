"""Templates: everything that comes out of a variable is escaped."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from server.web.shell import text


class Rendering:
    """The templates of ``folder``, with how numbers and times are written."""

    def __init__(self, folder: Path) -> None:
        """Render the templates of `folder`; everything is escaped."""
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "moment": text.moment,
            "epoch": text.epoch,
            "size": text.size,
            "number": text.number,
            "score": text.score,
            "span": text.span,
            "shorten": text.shorten,
            "link": text.link,
        }
        self._environment.globals |= {"task_path": text.task_path, "seconds": text.seconds}
        # Macros by name: a block that is rendered alone sees no import of its template.
        self._environment.globals["macros"] = self._environment.get_template("macros.html").module

    def page(self, template: str, **values: Any) -> str:
        """A whole page."""
        return self._environment.get_template(template).render(BLANK | values)

    def fragment(self, template: str, **values: Any) -> str:
        """The part of the page that changes while one looks: its block ``live``."""
        found = self._environment.get_template(template)
        context = found.new_context(BLANK | values)
        block = found.blocks.get("live")
        return "".join(block(context)) if block else ""


BLANK: dict[str, Any] = {"form_token": "", "here": "", "query": {}, "done": None}
