// Fastify with its plugins helmet, rate-limit, jwt, postgres and redis; schemas, pino, BullMQ and cluster.
import cluster from "node:cluster";
import helmet from "@fastify/helmet";
import jwt from "@fastify/jwt";
import postgres from "@fastify/postgres";
import rateLimit from "@fastify/rate-limit";
import redis from "@fastify/redis";
import { Queue } from "bullmq";
import Fastify from "fastify";
import { LIST_SECONDS, poolOptions, Shop } from "./shop.mjs";

const { REDIS_URL, JWT_SECRET, PORT, CACHE, WORKERS } = process.env;

const text = { type: "string" };
const integer = { type: "integer" };
const id = { type: "string", format: "uuid" };
const object = (properties) => ({ type: "object", properties, required: Object.keys(properties), additionalProperties: false });
const orNull = (type) => ({ type: [type, "null"] });

const product = object({
  id: text,
  name: text,
  description: text,
  category: text,
  price_cents: integer,
  currency: text,
  stock: integer,
  version: integer,
  created_at: text,
  updated_at: text,
});
const page = object({ items: { type: "array", items: product }, next_cursor: orNull("string") });
const user = object({
  id: text,
  email: text,
  email_verified: { type: "boolean" },
  name: text,
  role: text,
  active: { type: "boolean" },
  created_at: text,
  updated_at: text,
});
const line = object({ product_id: text, name: text, unit_price_cents: integer, quantity: integer });
const order = object({
  id: text,
  status: text,
  items: { type: "array", items: line },
  total_cents: integer,
  currency: text,
  created_at: text,
});
const draft = object({
  items: {
    type: "array",
    minItems: 1,
    maxItems: 50,
    items: object({ product_id: id, quantity: { type: "integer", minimum: 1, maximum: 10_000 } }),
  },
});
const listQuery = {
  type: "object",
  properties: {
    limit: { type: "integer", minimum: 1, maximum: 100, default: 20 },
    category: { type: "string", pattern: "^[a-z0-9-]{1,50}$" },
    cursor: { type: "string", maxLength: 200 },
  },
};
const keyHeader = { type: "object", properties: { "idempotency-key": { type: "string", minLength: 1 } }, required: ["idempotency-key"] };

async function serve() {
  const app = Fastify({ logger: true, disableRequestLogging: true });
  await app.register(helmet);
  await app.register(rateLimit, { max: 1_000_000_000, timeWindow: 60_000, enableDraftSpec: true });
  await app.register(jwt, {
    secret: JWT_SECRET,
    verify: { algorithms: ["HS256"], allowedIss: "shop", allowedAud: "shop" },
  });
  await app.register(postgres, poolOptions);
  if (CACHE === "on") await app.register(redis, { url: REDIS_URL });
  const shop = new Shop(app.pg.pool);
  const jobs = new Queue("orders", { connection: { url: REDIS_URL } });

  app.addHook("onResponse", (request, reply, done) => {
    const { method, url } = request;
    request.log.info({ method, path: url, status: reply.statusCode, duration_ms: reply.elapsedTime }, "request");
    done();
  });
  const signedIn = (request) => request.jwtVerify();

  // Cached in serialized form, so that a hit is not serialized again.
  async function answerKept(reply, key, load) {
    reply.type("application/json; charset=utf-8");
    const cached = await app.redis?.get(key);
    if (cached) return cached;
    const body = reply.serialize(await load());
    await app.redis?.setex(key, LIST_SECONDS, body);
    return body;
  }

  app.get("/health/ready", () => ({ status: "ok" }));

  app.get("/v1/products", { schema: { querystring: listQuery, response: { 200: page } } }, (request, reply) => {
    const { limit, category, cursor } = request.query;
    return answerKept(reply, `products:${limit}:${category ?? ""}:${cursor ?? ""}`, () => shop.page(request.query));
  });

  app.get("/v1/products/:id", { schema: { params: object({ id }), response: { 200: product } } }, (request, reply) =>
    answerKept(reply, `product:${request.params.id}`, () => shop.product(request.params.id)),
  );

  app.get("/v1/users/me", { onRequest: signedIn, schema: { response: { 200: user } } }, (request) => shop.user(request.user.sub));

  app.post(
    "/v1/orders",
    { onRequest: signedIn, schema: { headers: keyHeader, body: draft, response: { 201: order } } },
    async (request, reply) => {
      const placed = await shop.place(request.user.sub, request.headers["idempotency-key"], request.body);
      if (placed.isNew) await jobs.add("settle", { user_id: request.user.sub, order_id: placed.order.id });
      reply.status(201);
      return placed.order;
    },
  );
  await app.listen({ port: Number(PORT), host: "127.0.0.1" });
}

if (cluster.isPrimary && Number(WORKERS) > 1) {
  for (let started = 0; started < Number(WORKERS); started += 1) cluster.fork();
  process.on("SIGTERM", () => process.exit(0));
} else {
  await serve();
}
