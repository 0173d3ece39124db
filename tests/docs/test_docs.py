"""The documentation is true: links lead somewhere, commands exist, lines fit."""

import re
import subprocess

import pytest
from support.pages import DOCS, FENCE, PAGES, ROOT, blocks

NEEDS = {"gpu", "kaggle", "docker", "cluster", "server", "network", "systemd", "cloud", "time"}
MAKEFILES = "".join(file.read_text() for file in sorted(ROOT.glob("Makefile*")))
TARGETS = {
    word for line in re.findall(r"^([a-z][\w. -]*):", MAKEFILES, re.MULTILINE) for word in line.split()
}


def name(page):
    return page.name


def anchors(page):
    """The anchors that headings get on the repository's pages."""
    text = FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "benchmarks" / "README.md"], ids=name)
def test_links_lead_to_files_and_headings(page):
    text = FENCE.sub("", page.read_text())
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            lost.append(target)
    assert lost == []


def test_every_page_is_in_the_table_of_contents():
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    assert {page.name for page in DOCS} - {"README.md"} <= listed


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_lines_fit(page):
    long = [line for line in page.read_text().splitlines() if len(line) > 110 and not line.startswith("|")]
    assert long == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_whole_and_their_needs_known(page):
    for language, marks, text in blocks(page):
        if language != "sh":
            continue
        assert set(marks) <= {"needs", "stays"}, f"{page.name}: unknown mark in {marks}"
        assert set(marks.get("needs", "").split(",")) <= NEEDS | {""}, f"{page.name}: unknown need in {marks}"
        read = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert read.returncode == 0, f"{page.name}: {read.stderr}\n{text}"
        assert not re.search(r"^\s*#", text, re.MULTILINE), f"{page.name}: a comment among commands\n{text}"
        named = re.findall(r"\bmake ((?:-f \S+ |-s )*[a-z][\w.]*)", text)
        assert {each.split()[-1] for each in named} <= TARGETS, f"{page.name}: no such target\n{text}"


def test_the_messages_that_are_explained_are_those_of_the_code():
    files = [
        file for room in ("pipeline", "planets", "steps", "server") for file in (ROOT / room).rglob("*.py")
    ]
    source = "\n".join(file.read_text() for file in files) + MAKEFILES
    joined = re.sub(r'"\s*\n\s*f?"', "", source).replace("`", "'").replace("!r}", "}")
    plain = re.sub(r"\{[^{}]*\}", "...", joined)
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) > 25
    parts = [
        part.strip() for message in messages for part in re.split(r"\.\.\.|[;:] ", message) if part.strip()
    ]
    assert [part for part in parts if part not in plain] == ["CUDA out of memory"]  # torch says that
