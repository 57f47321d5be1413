from uuid import UUID


def orders_tag(user_id: UUID) -> str:
    return f"orders:{user_id}"
