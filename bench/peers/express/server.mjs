// The guide's stack: Express, helmet, express-rate-limit, winston, jsonwebtoken, zod, pg, Redis cache-aside, BullMQ, cluster.
import cluster from "node:cluster";
import { Queue } from "bullmq";
import express from "express";
import { rateLimit } from "express-rate-limit";
import helmet from "helmet";
import jwt from "jsonwebtoken";
import pg from "pg";
import { createClient } from "redis";
import winston from "winston";
import { z } from "zod";
import { LIST_SECONDS, poolOptions, Refused, Shop } from "./shop.mjs";

const { REDIS_URL, JWT_SECRET, PORT, CACHE, WORKERS } = process.env;

const listQuery = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(20),
  category: z.string().regex(/^[a-z0-9-]{1,50}$/).optional(),
  cursor: z.string().max(200).optional(),
});
const productPath = z.object({ id: z.uuid() });
const draft = z.strictObject({
  items: z.array(z.strictObject({ product_id: z.uuid(), quantity: z.int().min(1).max(10_000) })).min(1).max(50),
});

function checked(schema, value) {
  const { success, data, error } = schema.safeParse(value);
  if (!success) throw new Refused(400, z.prettifyError(error));
  return data;
}

function signedIn(request, response, next) {
  const [scheme, token] = (request.get("authorization") ?? "").split(" ");
  if (scheme !== "Bearer") throw new Refused(401, "no token");
  try {
    request.user = jwt.verify(token, JWT_SECRET, { algorithms: ["HS256"], issuer: "shop", audience: "shop" });
  } catch {
    throw new Refused(401, "bad token");
  }
  next();
}

async function serve() {
  const shop = new Shop(new pg.Pool(poolOptions));
  const cache = CACHE === "on" ? await createClient({ url: REDIS_URL }).connect() : null;
  const jobs = new Queue("orders", { connection: { url: REDIS_URL } });
  const log = winston.createLogger({
    format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
    transports: [new winston.transports.Console()],
  });

  async function answerKept(response, key, load) {
    const cached = await cache?.get(key);
    const body = cached ?? JSON.stringify(await load());
    if (cache && !cached) await cache.setEx(key, LIST_SECONDS, body);
    response.type("json").send(body);
  }

  const app = express();
  app.use(helmet());
  app.use(rateLimit({ windowMs: 60_000, limit: 1_000_000_000, standardHeaders: "draft-8", legacyHeaders: false }));
  app.use((request, response, next) => {
    const started = process.hrtime.bigint();
    response.on("finish", () => {
      const duration_ms = Number(process.hrtime.bigint() - started) / 1e6;
      log.info("request", { method: request.method, path: request.path, status: response.statusCode, duration_ms });
    });
    next();
  });

  app.get("/health/ready", (request, response) => response.json({ status: "ok" }));

  app.get("/v1/products", async (request, response) => {
    const asked = checked(listQuery, request.query);
    const key = `products:${asked.limit}:${asked.category ?? ""}:${asked.cursor ?? ""}`;
    await answerKept(response, key, () => shop.page(asked));
  });

  app.get("/v1/products/:id", async (request, response) => {
    const { id } = checked(productPath, request.params);
    await answerKept(response, `product:${id}`, () => shop.product(id));
  });

  app.get("/v1/users/me", signedIn, async (request, response) => {
    response.json(await shop.user(request.user.sub));
  });

  app.post("/v1/orders", signedIn, express.json({ limit: "100kb" }), async (request, response) => {
    const key = request.get("idempotency-key");
    if (!key) throw new Refused(400, "Idempotency-Key is missing");
    const { order, isNew } = await shop.place(request.user.sub, key, checked(draft, request.body));
    if (isNew) await jobs.add("settle", { user_id: request.user.sub, order_id: order.id });
    response.status(201).json(order);
  });

  app.use((error, request, response, _next) => {
    const status = error.statusCode ?? 500;
    if (status === 500) log.error("failed", { error: error.stack });
    response.status(status).type("application/problem+json").json({ status, detail: status === 500 ? "failed" : error.message });
  });
  app.listen(Number(PORT), "127.0.0.1");
}

if (cluster.isPrimary && Number(WORKERS) > 1) {
  for (let started = 0; started < Number(WORKERS); started += 1) cluster.fork();
  process.on("SIGTERM", () => process.exit(0));
} else {
  await serve();
}
