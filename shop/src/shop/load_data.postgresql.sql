-- UUIDv7 ids, one millisecond apart. The middle part differs between products and orders.
INSERT INTO products (id, name, description, category, price_cents, currency, stock, version, created_at, updated_at)
SELECT (lpad(to_hex(1700000000000 + i), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'))::uuid, 'Product ' || i,
  'Number ' || i, 'kind-' || (i % 50), i % 90000, 'EUR', 1000000, 1, to_timestamp((1700000000000 + i) / 1000.0),
  to_timestamp((1700000000000 + i) / 1000.0)
FROM generate_series({first}::bigint, {last}) i WHERE i <= {max_products};

INSERT INTO orders (user_id, id, status, total_cents, currency, created_at)
SELECT CASE WHEN i % 1000 = 0 THEN (SELECT id FROM users WHERE email = 'customer1@shop.example')
  ELSE lpad(to_hex(i % {customers}), 32, '0')::uuid END,
  (lpad(to_hex(1700000000000 + i), 12, '0') || '70018000' || lpad(to_hex(i), 12, '0'))::uuid, 'paid', i % 90000, 'EUR',
  to_timestamp((1700000000000 + i) / 1000.0)
FROM generate_series({first}::bigint, {last}) i;

INSERT INTO order_lines (user_id, order_id, position, product_id, name, unit_price_cents, quantity)
SELECT CASE WHEN i % 1000 = 0 THEN (SELECT id FROM users WHERE email = 'customer1@shop.example')
  ELSE lpad(to_hex(i % {customers}), 32, '0')::uuid END,
  (lpad(to_hex(1700000000000 + i), 12, '0') || '70018000' || lpad(to_hex(i), 12, '0'))::uuid, 0,
  (SELECT id FROM products LIMIT 1), 'Product ' || i, i % 90000, 1
FROM generate_series({first}::bigint, {last}) i;
