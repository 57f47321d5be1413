// A customer's way through the shop with the generated TypeScript client. Arguments: the URL of the shop.
import { createClient } from "./v2/client/index.js";
import { createOrder, getOrder, getOwnAccount, listProducts, registerUser, signIn } from "./v2/sdk.gen.js";

declare const process: { argv: string[] };

function assert(holds: unknown, seen: unknown): asserts holds {
  if (!holds) throw new Error(JSON.stringify(seen));
}

const baseUrl = process.argv[2]!;
const email = `${crypto.randomUUID()}@example.com`;
const password = "a nanosecond is a foot";

const anyone = createClient({ baseUrl });
const registered = await registerUser({ client: anyone, body: { email, password, name: "Grace" } });
assert(registered.data, registered.error);
const refused = await signIn({ client: anyone, body: { email, password: "a wrong password" } });
assert(refused.error?.code === "invalid_credentials", refused.error);
const tokens = (await signIn({ client: anyone, body: { email, password } })).data;
assert(tokens && "access_token" in tokens, tokens);

const client = createClient({ baseUrl, auth: () => tokens.access_token });
const account = await getOwnAccount({ client });
assert(account.data?.id === registered.data.id, account.error);
const page = (await listProducts({ client, query: { category: "kitchen", limit: 5 } })).data;
assert(page?.data.length === 5, page);
const product = page.data[2];
assert(product && product.id && product.price, product);

const headers = { "Idempotency-Key": crypto.randomUUID() };
const body = { items: [{ product_id: product.id, quantity: 2 }] };
const placed = await createOrder({ client, headers, body });
assert(placed.data?.total.amount === 2 * product.price.amount, placed.error);
const repeated = await createOrder({ client, headers, body });
assert(repeated.data?.id === placed.data.id, repeated.error);
assert(repeated.response?.headers.get("idempotent-replayed") === "true", repeated.error);
const other = { items: [{ product_id: product.id, quantity: 3 }] };
const reused = await createOrder({ client, headers, body: other });
assert(reused.error?.code === "idempotency_key_reused", reused.error);
const found = await getOrder({ client, path: { order_id: placed.data.id } });
assert(found.data?.id === placed.data.id, found.error);
console.log("done");
