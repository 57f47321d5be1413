"""The code about webhooks of docs/clients.md."""

import re
from types import ModuleType

from restwell import Restwell
from restwell.settings import Settings
from servers import ROOT

(CODE,) = re.findall(
    r"<!-- module: webhooks -->\n```python\n(.*?)```", (ROOT / "docs/clients.md").read_text(), re.DOTALL
)


def test_the_page_describes_a_webhook(tiny_settings: Settings) -> None:
    module = ModuleType("webhooks")
    exec(CODE, module.__dict__)  # noqa: S102  # the page of this repository
    document = Restwell(tiny_settings, name="webhooks").app([module.notifications]).openapi
    assert document["webhooks"]["order.paid"]["post"]["summary"] == "An order was paid"
