"""Pages of the documentation, and their fenced blocks."""

import re
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
FENCE = re.compile(r"^( *)```(.*)\n([\s\S]*?)^\1```$", re.MULTILINE)


def blocks(page, heading=""):
    """`(language, {word: value}, text)` of every fenced block, or of those in the section of that heading."""
    content = page.read_text()
    if heading:
        content = content.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = []
    for _, info, text in FENCE.findall(content):
        language, *words = info.split() or [""]
        found.append((language, dict(word.partition("=")[::2] for word in words), dedent(text)))
    return found
