// Answers are lost. Arguments: the URL of the shop, the same through a proxy that loses the first two answers, and
// through one that loses all.
import { Client, ConnectionError, type Tokens } from "./client/api.js";

declare const process: { argv: string[] };

const [, , baseUrl = "", losesTwo = "", losesAll = ""] = process.argv;
let tokens: Tokens | undefined;
const direct = new Client({ baseUrl, onTokens: (given) => (tokens = given) });
const email = `${crypto.randomUUID()}@example.com`;
await direct.registerUser({ email, password: "a nanosecond is a foot", name: "Grace" });
await direct.signIn({ email, password: "a nanosecond is a foot" });
let productId = "";
for await (const product of direct.listProducts({ limit: 1 })) {
  productId = product.id ?? "";
  break;
}

const order = await new Client({ baseUrl: losesTwo, tokens }).createOrder({ items: [{ product_id: productId, quantity: 1 }] });
const orders: string[] = [];
for await (const each of direct.listOrders()) orders.push(each.id);
const cancelled = await new Client({ baseUrl: losesAll, tokens }).cancelOrder(order.id).catch((error: unknown) => error);
console.log(
  JSON.stringify({
    orders: orders.length,
    isTheOrder: orders[0] === order.id,
    cancellation: cancelled instanceof ConnectionError && cancelled.mayHaveBeenDone,
    status: (await direct.getOrder(order.id)).status,
  }),
);
