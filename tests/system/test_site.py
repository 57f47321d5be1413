"""The documentation site: ``make docs`` builds it strictly, and it needs nothing but itself."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree
from threading import Thread
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from browser import browser_page
from servers import ROOT

PHONE: Final = {"width": 360, "height": 740}
WIDE: Final = {"width": 1440, "height": 900}
LINK: Final = re.compile(r"""<a\s[^>]*?href="?([^"\s>]+)""")
RESOURCE: Final = re.compile(r"""<(?:script|link|img|iframe|source)\s[^>]*?(?:src|href)="?([^"\s>]+)""")
ID: Final = re.compile(r"""\s(?:id|name)="?([^"\s>]+)""")
TEXT: Final = re.compile(r"^( *)```text\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
COLUMNS: Final = re.compile(r"\S {2,}\S|^ +[|v]$", re.MULTILINE)
"""What a drawing in characters has, and the output of a command has not."""
LONGEST: Final = 40
"""Characters of code that a phone of 360 pixels shows in a line."""
SPECIAL: Final = {"404.html"}
SHOWN: Final = (
    "/",
    "/tutorial/",
    "/releases/",
    "/comparison/",
    "/limits/",
    "/scoreboard/",
    "/settings/",
    "/api/restwell.web/",
)
"""Pages with the longest lines and the widest tables."""
SCROLLED: Final = """[...document.querySelectorAll(":is(.language-text, .language-sh) code")]
    .filter(code => code.scrollWidth > code.clientWidth).map(code => code.textContent)"""
"""The commands and outputs of which a screen does not show the whole width."""


def build(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Build the site of the folder as ``make docs`` does."""
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict"]
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "zensical.toml").write_text((ROOT / "zensical.toml").read_text())
    copytree(ROOT / "docs", folder / "docs")
    (folder / "src").symlink_to(ROOT / "src")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build/site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, str]:
    """The HTML of each page by its path."""
    files = (file for file in site.rglob("*.html") if file.name not in SPECIAL)
    return {f"/{file.relative_to(site)}".removesuffix("index.html"): file.read_text() for file in files}


@pytest.mark.parametrize("link", ["missing.md", "index.md#missing"])
def test_a_broken_link_fails_the_build(link: str, tmp_path: Path) -> None:
    """Fails if the configuration switches the validation off."""
    (tmp_path / "docs/assets").mkdir(parents=True)
    (tmp_path / "docs/index.md").write_text(f"# Start\n\n[a link]({link})\n")
    configuration = re.sub(
        r"^nav = \[.*?^\]\n", "", (ROOT / "zensical.toml").read_text(), flags=re.DOTALL | re.MULTILINE
    )
    (tmp_path / "zensical.toml").write_text(configuration)
    assert build(tmp_path).returncode != 0


def test_every_link_and_resource_of_the_site_exists(site: Path, pages: dict[str, str]) -> None:
    ids = {path: {"__skip", *ID.findall(html)} for path, html in pages.items()}
    for path, html in pages.items():
        for link in RESOURCE.findall(html):
            assert not urlsplit(link).netloc, f"{path} loads {link}"
        for link in {*LINK.findall(html), *RESOURCE.findall(html)}:
            target = urlsplit(urljoin(path, unescape(link)))
            if target.scheme or target.netloc:
                continue
            file = site / unquote(target.path).lstrip("/")
            assert (file / "index.html" if file.is_dir() else file).is_file(), f"{path} links to {link}"
            if target.fragment and target.path in pages:
                assert unquote(target.fragment) in ids[target.path], f"{path}: {link}"


def test_every_page_is_reached_from_the_start_page_in_two_clicks(pages: dict[str, str]) -> None:
    def linked(path: str) -> set[str]:
        return {urlsplit(urljoin(path, link)).path for link in LINK.findall(pages[path])} & pages.keys()

    first = linked("/")
    second = set().union(*(linked(path) for path in first))
    assert pages.keys() - first - second == set()


def test_the_site_has_llms_txt_with_pages_that_exist(site: Path, pages: dict[str, str]) -> None:
    listed = re.findall(r"^- \[.+?\]\((.+?)\): ", (site / "llms.txt").read_text(), re.MULTILINE)
    assert len(listed) > 40
    assert {f"/{path}" for path in listed} <= pages.keys()


def test_a_drawing_fits_a_phone() -> None:
    """Fails if a drawing is so wide that its page scrolls it sideways: a phone shows half of it."""
    drawings = [
        (page.name, drawing)
        for page in (ROOT / "docs").glob("*.md")
        for _, drawing in TEXT.findall(page.read_text())
        if COLUMNS.search(drawing)
    ]
    assert drawings
    assert [name for name, drawing in drawings if max(map(len, drawing.splitlines())) > LONGEST] == []


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.integration
def test_a_browser_shows_the_site_without_an_outside_request(site: Path) -> None:
    """On a phone and a wide screen, in the light and the dark. Fails if a font or a script comes from another host.

    Fails too if a page, a command or an output scrolls sideways.
    """
    with served(site) as url, browser_page() as page:
        outside: list[str] = []
        faults: list[str] = []
        page.on("request", lambda request: None if request.url.startswith(url) else outside.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        for size, scheme in ((PHONE, "light"), (WIDE, "dark")):
            page.set_viewport_size(size)  # type: ignore[arg-type]  # a TypedDict of the library
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # a literal of the library
            for path in SHOWN:
                page.goto(url + path)
                width = page.evaluate("document.documentElement.scrollWidth")
                assert width <= size["width"], f"{path} is {width} pixels wide on a screen of {size['width']}"
                assert page.evaluate(SCROLLED) == [], path
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness = sum(map(int, re.findall(r"\d+", background)[:3]))
            assert (brightness > 600) == (scheme == "light"), background
        assert (outside, faults) == ([], [])
