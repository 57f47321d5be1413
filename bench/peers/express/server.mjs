// W4 as the guide's stack would write it: Express, helmet, express-rate-limit, winston, jsonwebtoken, pg with a pool of 10.
// Duties are those of the shop: security headers, a rate limit, one JSON line a request, the token checked, a prepared statement.
// It does not ask whether the token's session still lives, which the shop does.
import express from "express";
import { rateLimit } from "express-rate-limit";
import helmet from "helmet";
import jwt from "jsonwebtoken";
import pg from "pg";
import winston from "winston";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const log = winston.createLogger({
  format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
  transports: [new winston.transports.Console()],
});
const own = {
  name: "own-account",
  text: `SELECT id, email, email_verified_at IS NOT NULL AS email_verified, name, role, active, created_at, updated_at
         FROM users WHERE id = $1`,
};

function signedIn(request, response, next) {
  const [scheme, token] = (request.get("authorization") ?? "").split(" ");
  try {
    if (scheme !== "Bearer") throw new Error("no token");
    request.user = jwt.verify(token, process.env.JWT_SECRET, { algorithms: ["HS256"], issuer: "shop", audience: "shop" });
    next();
  } catch {
    response.status(401).json({ error: "unauthorized" });
  }
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
app.get("/v1/users/me", signedIn, async (request, response) => {
  const { rows } = await pool.query({ ...own, values: [request.user.sub] });
  if (rows.length === 0) return response.status(401).json({ error: "unauthorized" });
  response.json(rows[0]);
});
app.listen(Number(process.env.PORT), "127.0.0.1");
