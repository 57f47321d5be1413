"""A part is added to the code of an application."""

import pytest

from restwell._cli.app_parts import imports, names_in, with_part
from restwell.errors import ConfigurationError

IMPORT = "from shop.reviews.routes import reviews"
APP = '''"""Bücher: an application."""

from shop.notes import notes


def create_app(settings):
    """Ümlaut."""
    {list}
    return app([Version("/v1", {used})])
'''


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("parts = [notes]", "parts = [notes, reviews]"),
        ("parts: list[Part] = [notes, other]", "parts: list[Part] = [notes, other, reviews]"),
        ("parts = []", "parts = [reviews]"),
        ('parts = [Feature("ü"),\n]', 'parts = [Feature("ü"), reviews,\n]'),
    ],
)
def test_a_part_is_the_last_one_of_the_list(before: str, after: str) -> None:
    """Fails if columns count characters: Python counts bytes."""
    code = APP.format(list=before, used="parts")
    assert not imports(code, IMPORT)
    added = with_part(code, IMPORT, "reviews")
    assert added == APP.format(list=after, used="parts").replace("import notes\n", f"import notes\n{IMPORT}\n")
    assert imports(added, IMPORT)


def test_a_list_within_a_version_is_found() -> None:
    code = APP.format(list="...", used="[notes]")
    assert 'Version("/v1", [notes, reviews])' in with_part(code, IMPORT, "reviews")


@pytest.mark.parametrize(("assigned", "used"), [("...", "every_part()"), ("parts = [notes]", "[other]")])
def test_an_application_with_no_list_or_two_is_told_what_to_write(assigned: str, used: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write parts = \[\.\.\.\] and Version"):
        with_part(APP.format(list=assigned, used=used), IMPORT, "reviews")


def test_names_are_those_of_variables_and_parameters() -> None:
    names = names_in(APP.format(list="parts = [notes]", used="parts"))
    assert {"settings", "notes", "parts"} <= names
    assert "shop" not in names
