"""Pages of the documentation, and their fenced blocks."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
FENCE = re.compile(r"^```(.*)\n([\s\S]*?)^```$", re.MULTILINE)


def blocks(page):
    """`(language, {word: value}, text)` of every fenced block."""
    found = []
    for info, text in FENCE.findall(page.read_text()):
        language, *words = info.split() or [""]
        found.append((language, dict(word.partition("=")[::2] for word in words), text))
    return found
