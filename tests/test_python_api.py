"""The public Python API changes only on purpose: its text is in the repository, and a change of it is in the diff."""

from difflib import unified_diff

import pytest

from python_api import SNAPSHOT, breaking_changes, current_api

OLD = """
# restwell
class App():
    def run(address: str, port: int = 80, *, quiet: bool = False) -> None: ...
    name: str
class Project(App):
    ...

# restwell.web
def get(path: str, *, cached: bool = True) -> str: ...
LIMIT: Final = 20
"""

BREAKING = {
    "a removed function": ("def get(path: str, *, cached: bool = True) -> str: ...", ""),
    "a renamed class": ("class Project", "class Plan"),
    "a removed attribute": ("    name: str\n", ""),
    "a removed parameter": ("address: str, ", ""),
    "a renamed parameter": ("path: str", "route: str"),
    "a new parameter without a default": ("path: str,", "path: str, name: str,"),
    "a parameter without its default": ("port: int = 80", "port: int"),
    "another default": ("cached: bool = True", "cached: bool = False"),
    "a parameter that became keyword-only": ("port: int = 80, *,", "*, port: int = 80,"),
    "parameters in another order": ("address: str, port: int = 80", "port: int = 80, address: str = ''"),
    "no return type": (" -> str", ""),
    "a base class less": ("class Project(App)", "class Project()"),
    "a function in place of a constant": ("LIMIT: Final = 20", "def LIMIT() -> int: ..."),
}


def test_the_public_python_api_is_the_one_in_the_repository() -> None:
    """Fails on any change of a public name, signature, annotation, default or base."""
    stored, current = SNAPSHOT.read_text(), current_api()
    if stored == current:
        return
    breaking = breaking_changes(stored, current)
    diff = unified_diff(stored.splitlines(), current.splitlines(), n=0, lineterm="")
    message = [
        "the public Python API has changed:",
        *list(diff)[2:],
        *(["breaking, according to griffe:", *breaking] if breaking else []),
        "if you mean it, run `make api`, commit the change, and name in CHANGELOG.md what breaks callers",
    ]
    pytest.fail("\n".join(message), pytrace=False)


@pytest.mark.parametrize("change", BREAKING)
def test_a_breaking_change_is_found(change: str) -> None:
    before, after = BREAKING[change]
    new = OLD.replace(before, after)
    assert new != OLD
    assert breaking_changes(OLD, new) != []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("cached: bool = True", "cached: bool = True, name: str = ''"),
        ("LIMIT: Final = 20", "LIMIT: Final = 20\nMAX: Final = 40"),
        ("    name: str\n", "    name: str\n    title: str = ''\n"),
    ],
)
def test_an_addition_is_not_breaking(before: str, after: str) -> None:
    assert breaking_changes(OLD, OLD.replace(before, after)) == []
