// The SQL and the rules of the shop for the Node.js peers, as prepared statements on a pg pool.
import { createHash } from "node:crypto";
import pg from "pg";
import { v7 as uuidv7 } from "uuid";

pg.types.setTypeParser(pg.types.builtins.INT8, Number);
// Text, because a Date drops the microseconds that a cursor needs.
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (text) => text.replace(" ", "T").replace("+00", "Z"));

export const poolOptions = { connectionString: process.env.DATABASE_URL, max: 10, options: "-c timezone=UTC" };
export const LIST_SECONDS = 60;

const fields = "id, name, description, category, price_cents, currency, stock, version, created_at, updated_at";
const newest = "ORDER BY created_at DESC, id DESC LIMIT $1";
const statements = {
  product: `SELECT ${fields} FROM products WHERE id = $1`,
  page: `SELECT ${fields} FROM products ${newest}`,
  pageAfter: `SELECT ${fields} FROM products WHERE (created_at, id) < ($2, $3) ${newest}`,
  category: `SELECT ${fields} FROM products WHERE category = $2 ${newest}`,
  categoryAfter: `SELECT ${fields} FROM products WHERE category = $2 AND (created_at, id) < ($3, $4) ${newest}`,
  user: `SELECT id, email, email_verified_at IS NOT NULL AS email_verified, name, role, active, created_at, updated_at
    FROM users WHERE id = $1 AND active`,
  hold: "INSERT INTO peer_keys (user_id, key, body_hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
  held: "SELECT body_hash, answer FROM peer_keys WHERE user_id = $1 AND key = $2",
  keep: "UPDATE peer_keys SET answer = $3 WHERE user_id = $1 AND key = $2",
  take: `UPDATE products SET stock = stock - $2, version = version + 1, updated_at = now()
    WHERE id = $1 AND stock >= $2 RETURNING name, price_cents, currency`,
  order: `INSERT INTO orders (user_id, id, status, total_cents, currency, created_at)
    VALUES ($1, $2, 'pending', $3, $4, $5)`,
  lines: `INSERT INTO order_lines (user_id, order_id, position, product_id, name, unit_price_cents, quantity)
    SELECT $1, $2, * FROM unnest($3::int[], $4::uuid[], $5::text[], $6::bigint[], $7::int[])`,
};

export class Refused extends Error {
  constructor(statusCode, detail) {
    super(detail);
    this.statusCode = statusCode;
  }
}

const prepared = (name, ...values) => ({ name, text: statements[name], values });

export class Shop {
  constructor(pool) {
    this.pool = pool;
  }

  async product(id) {
    const { rows } = await this.pool.query(prepared("product", id));
    if (rows.length === 0) throw new Refused(404, "no such product");
    return rows[0];
  }

  async user(id) {
    const { rows } = await this.pool.query(prepared("user", id));
    if (rows.length === 0) throw new Refused(401, "no such user");
    return rows[0];
  }

  async page({ limit, category, cursor }) {
    const after = cursor ? JSON.parse(Buffer.from(cursor, "base64url")) : [];
    const name = (category ? "category" : "page") + (cursor ? "After" : "");
    const { rows } = await this.pool.query(prepared(name, limit + 1, ...(category ? [category] : []), ...after));
    const items = rows.slice(0, limit);
    const { created_at, id } = items.at(-1) ?? {};
    const next = rows.length > limit ? Buffer.from(JSON.stringify([created_at, id])).toString("base64url") : null;
    return { items, next_cursor: next };
  }

  /** Place an order in one transaction; a key that came before answers with the order it made. */
  async place(user, key, { items }) {
    const hash = createHash("sha256").update(JSON.stringify(items)).digest();
    const client = await this.pool.connect();
    try {
      await client.query("BEGIN");
      const done = await this.#place(client, user, key, hash, items);
      await client.query("COMMIT");
      return done;
    } catch (error) {
      await client.query("ROLLBACK");
      throw error;
    } finally {
      client.release();
    }
  }

  async #place(client, user, key, hash, items) {
    const { rowCount } = await client.query(prepared("hold", user, key, hash));
    if (rowCount === 0) {
      const before = (await client.query(prepared("held", user, key))).rows[0];
      if (!before.body_hash.equals(hash)) throw new Refused(422, "this key came with another body");
      return { order: before.answer, isNew: false };
    }
    const lines = [];
    let currency;
    for (const { product_id, quantity } of items) {
      const { rows } = await client.query(prepared("take", product_id, quantity));
      if (rows.length === 0) throw new Refused(409, `${product_id} is out of stock`);
      currency = rows[0].currency;
      lines.push({ product_id, name: rows[0].name, unit_price_cents: rows[0].price_cents, quantity });
    }
    const total_cents = lines.reduce((sum, line) => sum + line.unit_price_cents * line.quantity, 0);
    const order = { id: uuidv7(), status: "pending", items: lines, total_cents, currency, created_at: new Date().toISOString() };
    await client.query(prepared("order", user, order.id, total_cents, currency, order.created_at));
    const columns = ["product_id", "name", "unit_price_cents", "quantity"].map((name) => lines.map((line) => line[name]));
    await client.query(prepared("lines", user, order.id, [...lines.keys()], ...columns));
    await client.query(prepared("keep", user, key, JSON.stringify(order)));
    return { order, isNew: true };
  }
}
