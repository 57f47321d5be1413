from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from restwell.accounts._codes import generate_token, hash_token
from restwell.accounts._email_verification import queries
from restwell.database import Database

TTL: Final = timedelta(hours=24)


async def create_code(database: Database, user_id: UUID, email: str) -> str:
    """Store a new code for the address and return it. It expires after 24 hours."""
    code = generate_token()
    expires_at = datetime.now(UTC) + TTL
    await database.run(
        queries.insert_verification, code_hash=hash_token(code), user_id=user_id, email=email, expires_at=expires_at
    )
    return code
