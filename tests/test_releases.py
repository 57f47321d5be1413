"""The policy of releases (docs/releases.md), and the files of the repository that name the release."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from servers import ROOT

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
POLICY: Final = re.compile(r"deprecated since restwell (\d+)\.(\d+), removed in (\d+)\.(\d+)")
MINORS: Final = 2
FIELDS: Final = {"markdown", "input", "textarea", "dropdown", "checkboxes"}
"""What a form of an issue may have."""


def deprecations(source: str) -> Iterator[str]:
    """The text of each warning of a deprecation; empty if it is computed."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _deprecates(node):
            text = ast.walk(node.args[0]) if node.args else ()
            yield "".join(each.value for each in text if isinstance(each, ast.Constant) and isinstance(each.value, str))


def _deprecates(call: ast.Call) -> bool:
    """Whether it is ``warnings.warn`` with this category, or the decorator ``warnings.deprecated``."""
    name = ast.unparse(call.func).rpartition(".")[2]
    given = [ast.unparse(each) for each in (*call.args, *(each.value for each in call.keywords))]
    return name == "deprecated" or (name == "warn" and any(each.endswith("DeprecationWarning") for each in given))


def fault(text: str, version: tuple[int, int]) -> str | None:
    """What is wrong with the warning in this release."""
    found = POLICY.search(text)
    if found is None:
        return "does not say: deprecated since restwell 1.2, removed in 1.4"
    since, removed = (int(found[1]), int(found[2])), (int(found[3]), int(found[4]))
    if removed[1] < (since[1] + MINORS if removed[0] == since[0] else MINORS - 1) or removed[0] < since[0]:
        return f"leaves less than {MINORS} minor releases"
    if since > version:
        return f"is since {since[0]}.{since[1]}, which is a later release"
    if removed <= version:
        return f"was to be removed in {removed[0]}.{removed[1]}: remove what it warns of"
    return None


def test_what_is_deprecated_stays_for_two_minor_releases_and_then_goes() -> None:
    """Fails if a warning does not name its end, if that comes too early, and in the release that is to remove it."""
    major, minor, *_ = map(int, PROJECT["version"].split("."))
    found = [
        f"{file.relative_to(ROOT)}: {text!r} {wrong}"
        for file in sorted((ROOT / "src").rglob("*.py"))
        for text in deprecations(file.read_text())
        if (wrong := fault(text, (major, minor)))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("old(): deprecated since restwell 0.2, removed in 0.4. Use new().", None),
        ("old(): deprecated since restwell 0.2, removed in 1.1. Use new().", None),
        ("old(): deprecated since restwell 0.2, removed in 1.0. Use new().", "leaves less"),
        ("old(): deprecated since restwell 0.2, removed in 0.3. Use new().", "leaves less"),
        ("old(): deprecated since restwell 0.1, removed in 0.3. Use new().", None),
        ("old(): deprecated since restwell 0.0, removed in 0.2. Use new().", "was to be removed in 0.2"),
        ("old(): deprecated since restwell 0.3, removed in 0.5. Use new().", "later release"),
        ("old() is deprecated. Use new().", "does not say"),
        ("", "does not say"),
    ],
)
def test_a_warning_that_breaks_the_policy_is_found(text: str, expected: str | None) -> None:
    for call in (
        f"warnings.warn({text!r}, DeprecationWarning, stacklevel=2)",
        f"warn(f{text!r}, category=DeprecationWarning)",
        f"deprecated({text!r})",
    ):
        assert list(deprecations(f"def old():\n    {call}\n    warn('another', UserWarning)\n")) == [text]
    found = fault(text, (0, 2))
    assert (found is None) if expected is None else (expected in (found or ""))


def test_the_citation_is_that_of_this_release() -> None:
    """Fails if a release forgets it."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation.keys() >= {"cff-version", "message", "authors"}, "the format requires them"
    assert [citation[name] for name in ("title", "version", "license", "type")] == [
        PROJECT["name"],
        PROJECT["version"],
        PROJECT["license"],
        "software",
    ]


@pytest.mark.parametrize("form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda form: form.stem)
def test_the_forms_of_issues_are_valid(form: Path) -> None:
    """Fails if GitHub would show no form: a key is missing, or two answers have one id."""
    content = yaml.safe_load(form.read_text())
    assert content.keys() >= {"name", "description", "body"}
    fields = [each for each in content["body"] if each["type"] != "markdown"]
    assert {each["type"] for each in content["body"]} <= FIELDS
    assert all(each["attributes"]["label"] for each in fields)
    assert len({each["id"] for each in fields}) == len(fields) > 0
