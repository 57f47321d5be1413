"""Types as the code of a migration, with what it imports."""

from typing import Any

import pytest
from sqlalchemy import JSON, BigInteger, Integer, Numeric, String, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from restwell.database import FixedPoint, Flag, Id, Timestamp
from restwell.database._schema_code import Code

OWN = {"restwell.database"}
POSTGRES = "sqlalchemy.dialects.postgresql"


@pytest.mark.parametrize(
    ("kind", "code", "modules"),
    [
        (Id, "Id", OWN),
        (Timestamp, "Timestamp", OWN),
        (Flag, "Flag", OWN),
        (FixedPoint(10, 2), "FixedPoint(precision=10, scale=2)", OWN),
        (Text(), "Text()", {"sqlalchemy"}),
        (Uuid(), "Uuid()", {"sqlalchemy"}),
        (Numeric(10, 2), "Numeric(precision=10, scale=2)", {"sqlalchemy"}),
        (
            BigInteger().with_variant(Integer(), "sqlite"),
            'BigInteger().with_variant(Integer(), "sqlite")',
            {"sqlalchemy"},
        ),
        (JSONB(), "JSONB(astext_type=Text())", {"sqlalchemy", POSTGRES}),
        (
            JSON().with_variant(JSONB(), "postgresql"),
            'JSON().with_variant(JSONB(astext_type=Text()), "postgresql")',
            {"sqlalchemy", POSTGRES},
        ),
        (
            Integer().with_variant(String(3), "postgresql"),
            'Integer().with_variant(String(length=3), "postgresql")',
            {"sqlalchemy"},
        ),
    ],
)
def test_a_type_is_code_with_its_imports(kind: TypeEngine[Any], code: str, modules: set[str]) -> None:
    """Fails if a class of a dialect without a public name is written."""
    written = Code()
    assert (written.type(kind), set(written.names)) == (code, modules)
