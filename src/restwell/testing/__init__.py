"""Test support: the production app in process, signed-in clients and a mailbox.

Needs the extra ``testing``, and no test framework.
"""

from restwell.testing._api_client import ApiClient
from restwell.testing._mail_box import MailBox, ReceivedMail, find_code
from restwell.testing._running import BASE_URL, finish_jobs, running

__all__ = ["BASE_URL", "ApiClient", "MailBox", "ReceivedMail", "find_code", "finish_jobs", "running"]
