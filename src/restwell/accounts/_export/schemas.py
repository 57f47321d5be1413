"""The schema of an export: its members are what the services of the application contribute."""

from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

from msgspec import Struct

from restwell.accounts._options import AccountOptions
from restwell.accounts._personal_data import PersonalList, PersonalValue
from restwell.accounts._types import with_fields


class PersonalDataExport(Struct, frozen=True):
    """Each list has the order of the route that lists the resource. Only active sessions are included."""


def export_type(
    values: Sequence[PersonalValue], lists: Sequence[PersonalList], options: AccountOptions
) -> type[Struct]:
    """The type of the export: a member for each service, with the type that its method returns."""
    members: list[tuple[str, Any]] = [(each.member, _returned(each.read_personal_value)) for each in values]
    for each in lists:
        (item,) = get_args(_returned(each.read_personal_page))
        members.append((each.member, list[options.types.get(item, item)]))  # type: ignore[misc]  # known at run time
    fields = [(member, options.types.get(kind, kind)) for member, kind in members]
    return with_fields(PersonalDataExport, *fields)


def _returned(method: Any) -> Any:
    return get_type_hints(method)["return"]
