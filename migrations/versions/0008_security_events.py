"""The audit log, which only grows, and forgets after a year (pre-deploy)."""

from alembic import op
from sqlalchemy import Column, ForeignKey, Text

from restwell.database import Id, Timestamp

revision = "0008"
down_revision = "0007"

REFUSAL = "security_events is append-only"
POSTGRESQL = (
    f"""CREATE FUNCTION refuse_change_of_security_events() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN RAISE EXCEPTION ''{REFUSAL}''; END'""",
    """CREATE TRIGGER security_events_stay BEFORE UPDATE OR TRUNCATE ON security_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_security_events()""",
    """CREATE TRIGGER security_events_stay_a_year BEFORE DELETE ON security_events
    FOR EACH ROW WHEN (OLD.at > now() - interval '365 days') EXECUTE FUNCTION refuse_change_of_security_events()""",
)
SQLITE = (
    f"""CREATE TRIGGER security_events_stay BEFORE UPDATE ON security_events
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    f"""CREATE TRIGGER security_events_stay_a_year BEFORE DELETE ON security_events
    WHEN OLD.at > (unixepoch() - 365 * 86400) * 1000000
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
)


def upgrade() -> None:
    op.create_table(
        "security_events",
        Column("id", Id, primary_key=True),
        Column("at", Timestamp, nullable=False),
        Column("event", Text, nullable=False),
        Column("user_id", Id, ForeignKey("users.id")),
        Column("by_id", Id),
        Column("address", Text),
        Column("detail", Text),
        Column("request_id", Text),
    )
    op.create_index("security_events_by_user", "security_events", ["user_id", "id"])
    for statement in POSTGRESQL if op.get_context().dialect.name == "postgresql" else SQLITE:
        op.execute(statement)
