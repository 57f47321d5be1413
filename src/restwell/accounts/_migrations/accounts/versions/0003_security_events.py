"""The audit log: append-only, with a minimum retention of one year (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, ForeignKey, Text

from restwell.database import Id, Timestamp

revision = "0003"
down_revision = "0002"

REFUSAL = "security_events is append-only"
POSTGRESQL = (
    f"""CREATE FUNCTION reject_security_event_change() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN RAISE EXCEPTION ''{REFUSAL}''; END'""",
    """CREATE TRIGGER security_events_append_only BEFORE UPDATE OR TRUNCATE ON security_events
    FOR EACH STATEMENT EXECUTE FUNCTION reject_security_event_change()""",
    """CREATE TRIGGER security_events_retention BEFORE DELETE ON security_events
    FOR EACH ROW WHEN (OLD.occurred_at > now() - interval '365 days')
    EXECUTE FUNCTION reject_security_event_change()""",
)
SQLITE = (
    f"""CREATE TRIGGER security_events_append_only BEFORE UPDATE ON security_events
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    f"""CREATE TRIGGER security_events_retention BEFORE DELETE ON security_events
    WHEN OLD.occurred_at > (unixepoch() - 365 * 86400) * 1000000
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
)


def upgrade() -> None:
    op.create_table(
        "security_events",
        Column("id", Id, primary_key=True),
        Column("occurred_at", Timestamp, nullable=False),
        Column("type", Text, nullable=False),
        Column("user_id", Id, ForeignKey("users.id")),
        Column("actor_id", Id),
        Column("ip_address", Text),
        Column("detail", Text),
        Column("request_id", Text),
    )
    op.create_index("security_events_by_user", "security_events", ["user_id", "id"])
    for statement in POSTGRESQL if op.get_context().dialect.name == "postgresql" else SQLITE:
        op.execute(statement)
