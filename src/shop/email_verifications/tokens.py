"""The codes that are sent to an address."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from restwell.database import Database
from shop.email_verifications import queries
from shop.one_time_tokens import generate_token, hash_token

LIFETIME: Final = timedelta(hours=24)


async def code_for(database: Database, user_id: UUID, email: str) -> str:
    """A new code: whoever sends it back reads that address, and the account is theirs."""
    code = generate_token()
    expires_at = datetime.now(UTC) + LIFETIME
    await database.run(
        queries.insert_verification, code_hash=hash_token(code), user_id=user_id, email=email, expires_at=expires_at
    )
    return code
