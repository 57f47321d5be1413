"""What several tests of the shop ask for."""

from collections.abc import Iterator

import pytest

from mail_server import MailServer, mail_server


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A mail server, for an app that is made with it."""
    with mail_server(None) as started:
        yield started
