"""Table of security events. Triggers reject updates, and deletes of events that are less than a year old."""

from enum import StrEnum

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from restwell.accounts._metadata import metadata
from restwell.database import Id, Timestamp


class SecurityEventType(StrEnum):
    """What happened to an account."""

    REGISTERED = "registered"
    INVITATION_CREATED = "invitation_created"
    INVITATION_REVOKED = "invitation_revoked"
    INVITATION_ACCEPTED = "invitation_accepted"
    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGNED_OUT = "signed_out"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    REFRESH_TOKEN_REUSED = "refresh_token_reused"  # noqa: S105  # an event type, no token
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # an event type, no password
    PASSWORD_RESET = "password_reset"  # noqa: S105  # as above
    EMAIL_VERIFIED = "email_verified"
    EMAIL_CHANGED = "email_changed"
    MFA_ENABLED = "mfa_enabled"
    MFA_DISABLED = "mfa_disabled"
    RECOVERY_CODE_USED = "recovery_code_used"
    IDENTITY_LINKED = "identity_linked"
    IDENTITY_UNLINKED = "identity_unlinked"
    API_KEY_CREATED = "api_key_created"
    API_KEY_REVOKED = "api_key_revoked"
    CLIENT_CREATED = "client_created"
    CLIENT_REVOKED = "client_revoked"
    DATA_EXPORTED = "data_exported"
    ACCOUNT_UPDATED = "account_updated"
    ACCOUNT_DELETED = "account_deleted"
    OPERATION = "operation"


security_events = Table(
    "security_events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("occurred_at", Timestamp, nullable=False),
    Column("type", Text, nullable=False),
    Column("user_id", Id, ForeignKey("users.id")),  # the account; null for events without one
    Column("actor_id", Id),  # the user who caused it, if not the account's owner
    Column("ip_address", Text),
    Column("detail", Text),
    Column("request_id", Text),
    Index("security_events_by_user", "user_id", "id"),
)
