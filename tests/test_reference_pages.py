"""The pages of docs/ match the code and each other. ``tests/system/test_site.py`` builds and opens the site."""

import inspect
import re
import tomllib
from typing import Any

import pytest

import event_meanings
from documents import PAGES, anchors, links
from reference_pages import charts, leaves, pages, written
from restwell.web import get
from servers import ROOT

DOCS = ROOT / "docs"


def test_the_generated_pages_are_those_of_the_code() -> None:
    """Fails if a setting, an option, an error, an event, a route, a module, a decision or a chart is missing or old."""
    generated = pages()
    old = [name for name, text in generated.items() if not (DOCS / name).exists() or written(name)[1] != text]
    old += [file.name for file, chart in charts().items() if not file.exists() or file.read_text() != chart]
    if old:
        pytest.fail(f"{', '.join(old)}: run `make reference`", pytrace=False)
    assert {f"api/{page.name}" for page in (DOCS / "api").iterdir()} <= generated.keys()


def test_every_event_of_the_log_has_a_meaning_and_no_other_has() -> None:
    events = written("log-events.md")[1].splitlines()
    names = {line.split("`")[1] for line in events if line.startswith("| `")}
    assert names == event_meanings.MEANINGS.keys()
    assert [text for text in event_meanings.MEANINGS.values() if not text.endswith(".")] == []


def test_the_page_of_routes_has_every_option_of_a_route() -> None:
    page = (DOCS / "routes.md").read_text().partition("## Options of a route")[2]
    options = inspect.signature(get).parameters.keys() - {"path"}
    assert set(re.findall(r"^\| `(\w+)` ", page, re.MULTILINE)) == options


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    """The decisions are listed in docs/decisions.md."""
    project: dict[str, Any] = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    listed = list(leaves(project["nav"]))
    assert len(listed) == len(set(listed))
    assert set(listed) == {str(page.relative_to(DOCS)) for page in PAGES if page.parent.name != "decisions"}


def test_every_link_and_anchor_in_the_documents_exists() -> None:
    broken = []
    for page in [*PAGES, *ROOT.glob("*.md")]:
        for link in links(page):
            target, _, anchor = link.partition("#")
            file = page.parent / target if target else page
            if ":" in target:
                continue
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []
