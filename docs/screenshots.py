"""Pictures of the README: the page of the last run, and what `make status` prints of it.

    make screenshots

Needs Chromium, a run on the embedded server, and the server running. Writes `run.png` and `terminal.svg`
beside this file.
"""

import re
import shutil
from io import StringIO
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console

from pipeline.config.settings import load_config
from pipeline.connection import Api
from pipeline.errors import PipelineError
from pipeline.runs.follow import show
from pipeline.runs.state import last_run, read_run
from pipeline.stack.stack import Stack, folder

HERE = Path(__file__).parent
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def picture_of_page(api: Api, run_id: str, file: Path) -> None:
    """Save the run's page as a browser of 1280 x 860 pixels shows it."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not path:
        raise PipelineError("no Chromium on the PATH: install your system's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
        page.goto(f"{api.web}/login?token={api.call('auth.link')['token']}")
        page.goto(f"{api.web}/pipelines/{read_run(api, run_id).task.project}/experiments/{run_id}")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=file)
        browser.close()


def picture_of_terminal(api: Api, run_id: str, file: Path) -> None:
    """Save what `make status` prints of the run as an SVG that loads no font."""
    console = Console(record=True, width=100, file=StringIO(), force_terminal=True, highlight=False)
    show(api, run_id, console)
    picture = console.export_svg(title="make status")
    file.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


def main() -> None:
    """Make both pictures of the last run."""
    config = load_config("sample")
    connection = Stack(folder()).connection()
    if not connection:
        raise PipelineError("the embedded server does not run: start it with `make up`")
    connection.use()
    api = Api()
    run_id = last_run(api, config.clearml.project, config.clearml.pipeline)
    if not run_id:
        raise PipelineError("no run to show: make train.pipeline")
    picture_of_page(api, run_id, HERE / "run.png")
    picture_of_terminal(api, run_id, HERE / "terminal.svg")


if __name__ == "__main__":
    main()
