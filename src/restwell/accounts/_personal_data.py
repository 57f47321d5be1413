"""What a feature contributes to the export of a user's personal data."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from restwell.auth import Actor
from restwell.pages import Page, PageFilter


class PersonalValue(ABC):
    """A service with a small member of the export."""

    member: ClassVar[str]

    @abstractmethod
    async def read_personal_value(self, owner: Actor) -> Any:
        """Return only the data of this user, who is passed with the default role."""


class PersonalList(ABC):
    """A service with a list in the export, which is read page by page."""

    member: ClassVar[str]

    @abstractmethod
    async def read_personal_page(self, owner: Actor, filters: PageFilter) -> Page[Any]:
        """Return a page of the data of this user, who is passed with the default role."""
