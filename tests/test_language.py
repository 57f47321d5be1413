"""Names and sentences use the field's standard terms: the rule of CONTRIBUTING.md, with words that break it."""

import importlib
import inspect
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from servers import ROOT

INSTEAD_OF: Final = {
    r"nobody(?!@)": "no client, no process, ...",
    r"those who": "users, clients, maintainers, ...",
    r"whoever": "the caller, the client, the process, ...",
    r"anew": "again",
    r"elsewhere": "the place, or: OAuth, identity provider",
    r"oftener": "more often",
    r"dearest": "most expensive",
    r"lent": "acquired, in use",
    r"(is|are|was|were) kept": "is cached, is stored",
    r"in doubt": "outcome unknown",
    r"(come|comes) to rest": "is reset",
    r"(take|takes|taken|took) away": "remove",
    r"(take|takes|taken|took) along": "affect",
    r"by now": "already",
    r"labour": "jobs",
    r"ways in": "credentials",
    r"gave up|gives up|given up": "cancelled, timed out",
    r"whosoever|thereby|afresh|wherefore": "a word of this century",
}
"""Patterns of words that a reader has to translate, and what to write."""
ITSELF: Final = "tests/test_language.py"
GENERATED: Final = ("requirements/", "bench/results/", "docs/scoreboard.md")
SUFFIXES: Final = {".py", ".md", ".toml", ".json", ".yml", ".example", ".html", ".mjs", ""}


def texts() -> Iterator[Path]:
    """Every text file of the repository that a person writes."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if name != ITSELF and not name.startswith(GENERATED) and path.suffix in SUFFIXES and path.exists():
            yield path


@pytest.mark.parametrize("pattern", INSTEAD_OF)
def test_no_text_uses_a_word_that_has_a_standard_term(pattern: str) -> None:
    """Words of sentences and parts of names, but not quoted values."""
    word = re.compile(rf"(?<![a-z\"'/]){pattern.replace(' ', '[ _]')}(?![a-z\"'])", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if word.search(line)
    ]
    assert not found, f"write {INSTEAD_OF[pattern]}:\n" + "\n".join(found)


def test_no_line_of_a_document_exceeds_160_characters() -> None:
    """Ruff checks the lines of Python."""
    documents = [path for path in texts() if path.suffix == ".md"]
    assert documents
    for path in documents:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert len(line) <= 160, f"{path.relative_to(ROOT)}:{number}"


def public_modules() -> list[str]:
    """The dotted names of the modules of the kit that are public. The settings are described in ``.env.example``."""
    source = ROOT / "src"
    files = [file.relative_to(source).with_suffix("") for file in (source / "restwell").rglob("*.py")]
    names = {".".join(file.parts).removesuffix(".__init__") for file in files}
    return sorted(name for name in names if "._" not in name and name != "restwell.settings")


@pytest.mark.parametrize("name", public_modules())
def test_every_public_class_and_function_has_a_docstring(name: str) -> None:
    """A public name is a promise: the docstring states its behaviour, its errors and its units."""
    module = importlib.import_module(name)
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == name]
    public = {key: getattr(module, key) for key in getattr(module, "__all__", own) if not key.startswith("_")}
    promises = {key: each for key, each in public.items() if inspect.isclass(each) or inspect.isfunction(each)}
    assert [key for key, each in promises.items() if not vars(each).get("__doc__", inspect.getdoc(each))] == []
