"""A directory of users over a table of the application's own, with keys that are no UUID."""

from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct
from sqlalchemy import Column, MetaData, Table, Text, select, update

from accounts_app import Role
from api_client import Json
from restwell.accounts import DirectoryUser
from restwell.auth import Passwords
from restwell.database import Database, columns_of, insert_row, param, query

PASSWORD: Final = "a password of the directory"  # of a test

staff = Table(
    "staff",
    MetaData(),
    Column("number", Text, primary_key=True),
    Column("account_id", Text, nullable=False, unique=True),  # uuid5 cannot be reversed
    Column("email", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("left_on", Text),
)


class Employee(Struct, frozen=True):
    account_id: str
    email: str
    password_hash: str
    name: str
    role: str
    left_on: str | None

    def to_user(self) -> DirectoryUser:
        return DirectoryUser(UUID(self.account_id), self.email, self.name, self.role, active=self.left_on is None)


def id_of(number: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"https://staff.example/{number}")


by_email = query(
    "staff.by_email",
    select(*columns_of(staff, Employee)).where(staff.c.email == param("email")).order_by(staff.c.number).limit(1),
    into=Employee,
)
by_id = query(
    "staff.by_id", select(*columns_of(staff, Employee)).where(staff.c.account_id == param("account_id")), into=Employee
)


class StaffDirectory:
    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    async def authenticate(self, email: str, password: str) -> DirectoryUser | None:
        found = await self._database.find(by_email, email=email)
        hashed = found.password_hash if found is not None else None
        if not await self._passwords.verify(password, hashed) or found is None:
            return None
        return found.to_user()

    async def find(self, user_id: UUID) -> DirectoryUser | None:
        found = await self._database.find(by_id, account_id=str(user_id))
        return found.to_user() if found is not None else None


_insert = query("staff.insert", insert_row(staff))
_change = query(
    "staff.change",
    update(staff)
    .where(staff.c.number == param("match_number"))
    .values({name: param(name) for name in ("email", "name", "role", "left_on")}),
)
ADA: Final[Json] = {"email": "ada@staff.example", "name": "Ada Lovelace", "role": Role.ADMIN, "left_on": None}


class Staff:
    """Changes the table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._passwords = Passwords()

    async def add(self, number: str, **changes: Any) -> None:
        hashed = await self._passwords.hash(PASSWORD)
        row = {**ADA, **changes, "account_id": str(id_of(number)), "password_hash": hashed}
        await self._database.run(_insert, number=number, **row)

    async def change(self, number: str, **changes: Any) -> None:
        await self._database.run(_change, match_number=number, **{**ADA, **changes})
