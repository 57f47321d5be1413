// A customer's way through the shop with the client of restwell, the same in each version of the API.
// Arguments: the URL of the shop, the tokens of a customer whose access token has expired, and a port without a server.
import {
  Client,
  ConnectionError,
  EmailTakenError,
  IdempotencyKeyReusedError,
  InvalidError,
  PreconditionFailedError,
  type Tokens,
  UnauthorizedError,
} from "./client/api.js";

declare const process: { argv: string[] };

function assert(holds: unknown, seen?: unknown): asserts holds {
  if (!holds) throw new Error(`not so: ${JSON.stringify(seen)}`);
}

type Kind<E> = abstract new (...parameters: never) => E;

async function fails<E extends Error>(kind: Kind<E>, call: () => PromiseLike<unknown>): Promise<E> {
  try {
    await call();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

const [, , baseUrl = "", expired = "", port = ""] = process.argv;
const email = `${crypto.randomUUID()}@example.com`;
const password = "a nanosecond is a foot";
const statuses: number[] = [];

async function counted(...request: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...request);
  statuses.push(response.status);
  return response;
}

const grace = new Client({ baseUrl, fetch: counted });
await fails(UnauthorizedError, () => grace.getOwnAccount());
const registered = await grace.registerUser({ email, password, name: "Grace" });
await fails(EmailTakenError, () => grace.registerUser({ email, password, name: "Grace" }));
const invalid = await fails(InvalidError, () => grace.registerUser({ email: "grace", password, name: "" }));
assert(invalid.errors.some((each) => each.path === "$.email"), invalid.errors);
await grace.signIn({ email, password });
assert((await grace.getOwnAccount()).id === registered.id);

const ids: string[] = [];
for await (const product of grace.listProducts({ category: "kitchen", limit: 2 })) if (product.id) ids.push(product.id);
assert(ids.length > 4 && new Set(ids).size === ids.length, ids);
const [id = "", other = ""] = ids;
// @ts-expect-error: what is only sent is checked
await fails(InvalidError, () => grace.listProducts({ sort: "cheapest" }));

const idempotencyKey = crypto.randomUUID();
const body = { items: [{ product_id: id, quantity: 1 }] };
const order = await grace.createOrder(body, { idempotencyKey });
assert((await grace.createOrder(body, { idempotencyKey })).id === order.id);
const changed = { items: [{ product_id: other, quantity: 1 }] };
await fails(IdempotencyKeyReusedError, () => grace.createOrder(changed, { idempotencyKey }));
const second = await grace.createOrder(changed);
const orders: string[] = [];
for await (const each of grace.listOrders({ limit: 1 })) orders.push(each.id);
assert(orders.length === 2 && orders.includes(second.id), orders);

const admin = new Client({ baseUrl });
await admin.signIn({ email: "admin@shop.example", password: "demo-password-2026" });
const product = await admin.getProduct(id);
const updated = await admin.updateProduct(id, { description: "New." }, { ifMatch: product });
const stale = { ifMatch: product };
await fails(PreconditionFailedError, () => admin.updateProduct(id, { description: "Lost." }, stale));
await admin.updateProduct(id, { description: "Newer." }, { ifMatch: updated });

statuses.length = 0;
let refreshes = 0;
const tokens = JSON.parse(expired) as Tokens;
const customer = new Client({ baseUrl, tokens, fetch: counted, onTokens: () => (refreshes += 1) });
await Promise.all([customer.getOwnAccount(), customer.listOrders(), customer.listSessions()]);
assert(refreshes === 1 && statuses.includes(401), [refreshes, statuses]);

statuses.length = 0;
const found = await Promise.all(Array.from({ length: 30 }, () => grace.getProduct(id)));
assert(found.every((each) => each.description === "Newer."));
assert(statuses.includes(429), statuses);

const newer = new Client({
  baseUrl,
  token: "any",
  fetch: async () => new Response(JSON.stringify({ ...order, status: "refunded", gift: { wrapped: true } })),
});
const refunded = await newer.getOrder(order.id);
assert(refunded.status === "refunded" && refunded.created_at === order.created_at, refunded);

const nowhere = new Client({ baseUrl: `http://127.0.0.1:${port}`, maxAttempts: 2 });
const refused = await fails(ConnectionError, () => nowhere.createOrder(body));
assert(!refused.mayHaveBeenDone);
console.log("done");
