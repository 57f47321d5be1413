from collections.abc import Iterator

import pytest

from mail_server import MailServer, mail_server


@pytest.fixture
def server() -> Iterator[MailServer]:
    """An SMTP server for tests whose app sends emails."""
    with mail_server(None) as started:
        yield started
