"""The blocks and links of the Markdown documents."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from servers import ROOT

PAGES: Final = sorted((ROOT / "docs").rglob("*.md"))
_BLOCK: Final = re.compile(r"(?:^`([\w/.]+)`:\n\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"^ *```.*?^ *```$|``.+?``|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """``file`` is the name in backticks above the block, if there is one."""

    file: str
    language: str
    code: str


def blocks(document: str) -> Iterator[Block]:
    """The fenced blocks of a document of the repository."""
    for file, language, code in _BLOCK.findall((ROOT / document).read_text()):
        yield Block(file, language, code)


def links(document: Path) -> Iterator[str]:
    """The targets of the links and images, except those in code."""
    yield from _LINK.findall(_CODE.sub("", document.read_text()))


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub and the site make them."""
    without_code = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    texts = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in texts}
