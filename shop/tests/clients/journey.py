"""A customer's way through the shop with the generated Python client. Arguments: the URL of the shop."""

import sys
from uuid import uuid4

from shop_v2 import AuthenticatedClient, Client
from shop_v2.api.orders import create_order, get_order
from shop_v2.api.products import list_products
from shop_v2.api.sessions import sign_in
from shop_v2.api.users import get_own_account, register_user
from shop_v2.models import (
    BearerTokens,
    Order,
    OrderCreateRequest,
    OrderItemRequest,
    Problem,
    ProductListing,
    RegistrationRequest,
    SignInRequest,
    User,
)

url = sys.argv[1]
email, password = f"{uuid4()}@example.com", "a nanosecond is a foot"

anyone = Client(base_url=url)
grace = register_user.sync(client=anyone, body=RegistrationRequest(email, password, "Grace"))
assert isinstance(grace, User), grace
refused = sign_in.sync_detailed(client=anyone, body=SignInRequest(email, "a wrong password"))
assert isinstance(refused.parsed, Problem), refused
assert (refused.status_code, refused.parsed.code) == (401, "invalid_credentials")
tokens = sign_in.sync(client=anyone, body=SignInRequest(email, password))
assert isinstance(tokens, BearerTokens), tokens

client = AuthenticatedClient(base_url=url, token=tokens.access_token)
assert get_own_account.sync(client=client) == grace
page = list_products.sync(client=client, category="kitchen", limit=5)
assert isinstance(page, ProductListing), page
assert len(page.data) == 5
product = page.data[2]

wanted, key = OrderCreateRequest(items=[OrderItemRequest(product.id, 2)]), str(uuid4())
order = create_order.sync(client=client, body=wanted, idempotency_key=key)
assert isinstance(order, Order), order
assert order.total.amount == 2 * product.price.amount
repeated = create_order.sync_detailed(client=client, body=wanted, idempotency_key=key)
assert (repeated.parsed, repeated.headers["idempotent-replayed"]) == (order, "true")
other = OrderCreateRequest(items=[OrderItemRequest(product.id, 3)])
reused = create_order.sync(client=client, body=other, idempotency_key=key)
assert isinstance(reused, Problem), reused
assert reused.code == "idempotency_key_reused"
assert get_order.sync(order.id, client=client) == order
sys.stdout.write("done")
