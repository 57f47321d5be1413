-- UUIDv7 ids, one millisecond apart. The middle part differs between products and orders.
WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
INSERT INTO products (id, name, description, category, price_cents, currency, stock, version, created_at, updated_at)
SELECT unhex(printf('%012x70008000%012x', 1700000000000 + i, i)), 'Product ' || i, 'Number ' || i, 'kind-' || (i % 50),
  i % 90000, 'EUR', 1000000, 1, 1700000000000000 + i * 1000, 1700000000000000 + i * 1000
FROM n WHERE i <= {max_products};

WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
INSERT INTO orders (user_id, id, status, total_cents, currency, created_at)
SELECT CASE WHEN i % 1000 = 0 THEN (SELECT id FROM users WHERE email = 'customer1@shop.example')
  ELSE unhex(printf('%032x', i % {customers})) END,
  unhex(printf('%012x70018000%012x', 1700000000000 + i, i)), 'paid', i % 90000, 'EUR', 1700000000000000 + i * 1000
FROM n;

WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
INSERT INTO order_lines (user_id, order_id, position, product_id, name, unit_price_cents, quantity)
SELECT CASE WHEN i % 1000 = 0 THEN (SELECT id FROM users WHERE email = 'customer1@shop.example')
  ELSE unhex(printf('%032x', i % {customers})) END,
  unhex(printf('%012x70018000%012x', 1700000000000 + i, i)), 0, (SELECT id FROM products LIMIT 1), 'Product ' || i,
  i % 90000, 1
FROM n;
