from uuid import UUID


def user_tag(user_id: UUID) -> str:
    """The cache tag of a user. Cached sessions, which hold the role, have it too."""
    return f"user:{user_id}"
