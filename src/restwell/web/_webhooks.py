"""Webhooks: what an application sends to its users, for the ``webhooks`` of the OpenAPI document."""

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from restwell.web._openapi_schemas import ComponentSchemas, Schema
from restwell.web._request import JSON


class Webhook(Struct, frozen=True):
    """A POST that the application sends to a URL of a user. The kit describes it; a job of the application sends it.

    ``name``: such as ``order.paid``. ``payload``: the Struct of its JSON body. ``description``: its first line is the
    summary. ``headers``: descriptions of header fields that it always has, such as a signature.

    Raises TypeError for a wrong value.
    """

    name: str
    payload: type[Struct]
    description: str
    headers: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]\w*(?:\.\w+)*", self.name, re.ASCII):
            raise TypeError(f"Webhook: name must be such as order.paid, not {self.name!r}")
        payload: object = self.payload
        if not isinstance(payload, type) or not issubclass(payload, Struct):
            raise TypeError(f"Webhook {self.name}: payload must be a Struct, not {self.payload!r}")


def describe_webhooks(webhooks: Iterable[Webhook], schemas: ComponentSchemas) -> Schema:
    """The member of the document, or none. Raises TypeError for two webhooks with one name."""
    described: Schema = {}
    for each in webhooks:
        if each.name in described:
            raise TypeError(f"two webhooks have the name {each.name}: rename one of them")
        summary, _, rest = each.description.strip().partition("\n")
        described[each.name] = {
            "post": {
                "operationId": f"{each.name.replace('.', '_')}_webhook",
                "summary": summary.rstrip("."),
                **({"description": " ".join(rest.split())} if rest.strip() else {}),
                "parameters": [
                    {
                        "name": name,
                        "in": "header",
                        "required": True,
                        "description": description,
                        "schema": {"type": "string"},
                    }
                    for name, description in each.headers.items()
                ],
                "requestBody": {"required": True, "content": {JSON: schemas.content(each.payload)}},
                "responses": {"2XX": {"description": "Received."}},
                "security": [],
            }
        }
    return {"webhooks": described} if described else {}
