from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from restwell.database import Database
from shop.email_verifications import queries
from shop.one_time_tokens import generate_token, hash_token

TTL: Final = timedelta(hours=24)


async def create_code(database: Database, user_id: UUID, email: str) -> str:
    """Store a new code for the address and return it. It expires after 24 hours."""
    code = generate_token()
    expires_at = datetime.now(UTC) + TTL
    await database.run(
        queries.insert_verification, code_hash=hash_token(code), user_id=user_id, email=email, expires_at=expires_at
    )
    return code
