"""axe-core from npm, which finds violations of the accessibility guidelines (WCAG 2.2) in a page."""

import shutil
import subprocess
from functools import cache
from typing import Any, Final

import pytest
from playwright.sync_api import Page

from servers import NEEDS, ROOT, SUPPORT

FOLDER: Final = ROOT / "build/axe"
TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN: Final = """async (tags) => {
  const found = await axe.run(document, {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]});
  return found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)}`));
}"""


@cache
def axe_script() -> str:
    """Skips the test without npm, or if the package cannot be installed."""
    script = FOLDER / "node_modules/axe-core/axe.min.js"
    if not script.exists():
        if shutil.which("npm") is None:
            pytest.skip(f"{NEEDS}: npm (Node.js 20 or newer)")
        FOLDER.mkdir(parents=True, exist_ok=True)
        for file in (SUPPORT / "axe").glob("*.json"):
            shutil.copy(file, FOLDER)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            pytest.skip(f"{NEEDS}: the package axe-core of npm: {done.stderr.strip()[-200:]}")
    return script.read_text()


def violations(page: Page) -> list[str]:
    """The violations in the page: the rule and the element of each."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(axe_script())
    found: list[Any] = page.evaluate(RUN, TAGS)
    return [str(each) for each in found]
