// The runtime of the TypeScript client, with a fetch that answers as a test says. `node --test` runs it.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError, ConnectionError, HttpClient, Listing, etagOf, newKey, path } from "./runtime.js";

class OutOfStockError extends ApiError {}

const API = {
  scheme: "Bearer",
  codeProperty: "code",
  errors: { out_of_stock: OutOfStockError },
  refreshPath: "/refresh",
  tokenPath: "/token",
};

class Client extends HttpClient {
  constructor(...answers) {
    const last = typeof answers.at(-1) === "object" && !(answers.at(-1) instanceof Error) ? answers.pop() : {};
    const sent = [];
    const fake = async (url, init) => {
      sent.push({ url, ...init, headers: Object.fromEntries(init.headers) });
      const answer = answers[Math.min(sent.length, answers.length) - 1];
      if (answer instanceof Error) throw answer;
      return answer(url, init);
    };
    super({ baseUrl: "http://shop.test/", fetch: fake, ...last }, API);
    this.sent = sent;
  }
  get = (query, options = {}) => this.call({ method: "GET", path: "/things", query, receives: "json" }, options);
  post = (headers = {}, options = {}) =>
    this.call({ method: "POST", path: "/things", body: { n: 1 }, sends: "application/json", headers, receives: "json" }, options);
  list = (query, paging) =>
    new Listing((each) => this.call({ method: "GET", path: "/things", query: each, receives: "json" }, {}), query, paging);
}

const json = (body, status = 200, headers = {}) => () =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
const problem = (status, code, headers = {}) => json({ status, code, detail: `${code}.`, request_id: "r1" }, status, headers);
const refused = new TypeError("fetch failed", { cause: Object.assign(new Error("connect"), { code: "ECONNREFUSED" }) });
const lost = new TypeError("fetch failed", { cause: Object.assign(new Error("other side closed"), { code: "UND_ERR_SOCKET" }) });
const hangs = (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
const key = { "idempotency-key": "k" };

test("a lost answer is asked for again with the same key", async () => {
  const client = new Client(lost, problem(409, "idempotency_key_in_flight"), json({ id: 1 }));
  assert.deepEqual(await client.post(key), { id: 1 });
  assert.deepEqual(client.sent.map((each) => each.headers["idempotency-key"]), ["k", "k", "k"]);
});

test("without a key, what may have been done is not sent again", async () => {
  const client = new Client(lost);
  await assert.rejects(client.post(), (error) => error instanceof ConnectionError && error.mayHaveBeenDone);
  assert.equal(client.sent.length, 1);
  await assert.rejects(new Client(problem(503, "deadline_exceeded", { "retry-after": "0" }), json(1)).post(), ApiError);
});

test("a refused connection is tried again, and nothing was done", async () => {
  assert.equal(await new Client(refused, json(1)).post(), 1);
  const never = new Client(refused, { maxAttempts: 2 });
  await assert.rejects(never.post(), { name: "ConnectionError", mayHaveBeenDone: false });
  assert.equal(never.sent.length, 2);
});

test("a refused connection after a lost answer does not say that nothing was done", async () => {
  await assert.rejects(new Client(lost, refused, { maxAttempts: 2 }).post(key), { mayHaveBeenDone: true });
});

test("the client waits for Retry-After, as seconds or as a date", async () => {
  for (const value of [() => "1", () => new Date(Date.now() + 2000).toUTCString()]) {
    const start = performance.now();
    assert.equal(await new Client(problem(429, "rate_limited", { "retry-after": value() }), json(1)).post(), 1);
    assert.ok(performance.now() - start >= 950);
  }
});

test("a wait that is longer than the call may last is not begun", async () => {
  const client = new Client(problem(429, "too_many_attempts", { "retry-after": "900" }));
  await assert.rejects(client.get(), (error) => error.retryAfterSeconds === 900 && error.code === "too_many_attempts");
  assert.equal(client.sent.length, 1);
});

test("the attempts and the time of a call are bounded", async () => {
  const often = new Client(problem(503, "overloaded"), { maxAttempts: 3 });
  await assert.rejects(often.get(), { code: "overloaded" });
  assert.equal(often.sent.length, 3);
  const start = performance.now();
  const slow = new Client(hangs, { timeoutSeconds: 0.1, maxSeconds: 0.25, maxAttempts: 100 });
  await assert.rejects(slow.get(), { name: "ConnectionError", mayHaveBeenDone: true });
  assert.ok(performance.now() - start < 1000);
});

test("a signal ends a request, a wait and a refresh with its reason", async () => {
  const reason = new Error("the page was left");
  for (const answer of [hangs, problem(429, "rate_limited", { "retry-after": "30" }), problem(401, "unauthorized")]) {
    const abort = new AbortController();
    const pair = { access_token: "old", refresh_token: "r" };
    const never = (url, init) => (url.endsWith("/refresh") ? hangs : answer)(url, init);
    setTimeout(() => abort.abort(reason), 50);
    await assert.rejects(new Client(never, { tokens: pair, timeoutSeconds: 0.2 }).get({}, { signal: abort.signal }), reason);
    await assert.rejects(new Client(answer).get({}, { signal: abort.signal }), reason);
  }
});

test("concurrent calls refresh the tokens once, and a second refusal is an error", async () => {
  const stored = [];
  const tokens = { access_token: "old", refresh_token: "r1" };
  const answer = (url, init) => {
    if (url.endsWith("/refresh")) return json({ access_token: "new", refresh_token: "r2" })();
    return (init.headers.get("authorization") === "Bearer new" ? json(1) : problem(401, "unauthorized"))();
  };
  const client = new Client(answer, { tokens, onTokens: (given) => stored.push(given.refresh_token) });
  assert.deepEqual(await Promise.all([client.get(), client.get(), client.post()]), [1, 1, 1]);
  assert.deepEqual(stored, ["r2"]);
  const [refresh] = client.sent.filter((each) => each.url.endsWith("/refresh"));
  assert.deepEqual([refresh.body, refresh.headers.authorization], ['{"refresh_token":"r1"}', undefined]);
  const ended = new Client((url) => (url.endsWith("/refresh") ? json(tokens) : problem(401, "unauthorized"))(), { tokens });
  await assert.rejects(ended.get(), { status: 401 });
  assert.equal(ended.sent.length, 3);
  await assert.rejects(new Client(problem(401, "invalid_refresh_token"), { tokens }).get(), { code: "invalid_refresh_token" });
});

test("a machine client gets its token before its first call, and again when it has expired", async () => {
  let issued = 0;
  const answer = (url, init) => {
    if (url.endsWith("/token")) return json({ access_token: `t${++issued}` })();
    return (init.headers.get("authorization") === "Bearer t2" ? json(1) : problem(401, "unauthorized"))();
  };
  const client = new Client(answer, { clientId: "c", clientSecret: "s" });
  assert.deepEqual(await Promise.all([client.get(), client.get()]), [1, 1]);
  assert.equal(issued, 2);
  assert.equal(String(client.sent[0].body), "grant_type=client_credentials&client_id=c&client_secret=s");
  const { tokenPath, ...without } = API;
  assert.throws(() => new HttpClient({ baseUrl: "http://a", clientId: "c", clientSecret: "s" }, without), TypeError);
});

test("a sign-in gives the tokens of the following calls", async () => {
  const client = new Client(json({ access_token: "a" }));
  await client.call({ method: "POST", path: "/sessions", open: true, signsIn: true, receives: "json" }, {});
  await client.get();
  assert.deepEqual(client.sent.map((each) => each.headers.authorization), [undefined, "Bearer a"]);
  const keyed = new Client(json(1), { token: "key" });
  await keyed.get();
  assert.equal(keyed.sent[0].headers.authorization, "Bearer key");
});

test("each code has its class, and one that is newer than the client is an ApiError", async () => {
  await assert.rejects(new Client(problem(409, "out_of_stock")).post(), (error) => error instanceof OutOfStockError);
  const unknown = { constructor: ApiError, code: "constructor", requestId: "r1", message: "constructor.", status: 409 };
  await assert.rejects(new Client(problem(409, "constructor")).post(), unknown);
  await assert.rejects(new Client(() => new Response("<html>", { status: 500 })).post(), { code: "", body: "<html>", status: 500 });
  await assert.rejects(new Client(json({ error: "invalid_client", error_description: "No." }, 401)).post(), { message: "No." });
});

test("a response that is not JSON is none of the API", async () => {
  await assert.rejects(new Client(() => new Response("<html>")).post(), { name: "ConnectionError", mayHaveBeenDone: true });
});

test("a list is read to its end, and a page cannot name another host", async () => {
  const form = { items: "data", next: "next", form: "path", parameter: "cursor" };
  const pages = [json({ data: [1], next: "https://evil.test/x?cursor=c%202&limit=9" }), json({ data: [2, 3], next: null })];
  const client = new Client(...pages);
  const seen = [];
  for await (const item of client.list({ limit: 1, q: undefined, tag: ["a", "b"] }, form)) seen.push(item);
  assert.deepEqual(seen, [1, 2, 3]);
  const urls = ["http://shop.test/things?limit=1&tag=a&tag=b", "http://shop.test/things?limit=1&tag=a&tag=b&cursor=c+2"];
  assert.deepEqual(client.sent.map((each) => each.url), urls);
  assert.deepEqual((await new Client(pages[0]).list({}, form)).data, [1]);
  await assert.rejects(async () => await new Client(problem(400, "invalid_cursor")).list({}, form), { code: "invalid_cursor" });
});

test("lists with cursors and with offsets are read to their ends", async () => {
  const cursors = new Client(json({ items: [1], next_cursor: "c" }), json({ items: [2], next_cursor: null }));
  const offsets = new Client(json({ items: [1, 2], has_more: true }), json({ items: [3], has_more: false }));
  const read = async (list) => {
    const seen = [];
    for await (const page of list.pages()) seen.push(...page.items);
    return seen;
  };
  assert.deepEqual(await read(cursors.list({}, { items: "items", next: "next_cursor", form: "value", parameter: "cursor" })), [1, 2]);
  assert.deepEqual(await read(offsets.list({ offset: 5 }, { items: "items", next: "has_more", form: "more", parameter: "offset" })), [1, 2, 3]);
  assert.deepEqual([cursors.sent[1].url, offsets.sent[1].url], ["http://shop.test/things?cursor=c", "http://shop.test/things?offset=7"]);
});

test("the ETag of a result is at hand", async () => {
  const read = await new Client(json({ id: 1 }, 200, { etag: '"1.v2"' })).get();
  assert.equal(etagOf(read), '"1.v2"');
  assert.equal(etagOf('"2"'), '"2"');
  assert.throws(() => etagOf({ ...read }), TypeError);
});

test("what would be sent as something else is refused", async () => {
  assert.equal(path`/things/${"a/b?"}/${-1}`, "/things/a%2Fb%3F/-1");
  for (const value of ["", ".", ".."]) assert.throws(() => path`/things/${value}`, TypeError);
  const send = (body) => new Client(json(1)).call({ method: "POST", path: "/", body, sends: "application/json" }, {});
  for (const n of [NaN, Infinity]) await assert.rejects(send({ n }), RangeError);
  assert.throws(() => new Client({ baseUrl: "shop" }), TypeError);
  assert.match(newKey(), /^[0-9a-f]{32}$/);
});

test("forms and files are sent in their media types", async () => {
  const client = new Client(() => new Response("name,n", { headers: { "content-type": "text/csv" } }));
  const send = (operation) => client.call({ method: "POST", path: "/", ...operation }, {});
  assert.equal(await send({ body: { a: "1", b: undefined }, sends: "application/x-www-form-urlencoded", receives: "text" }), "name,n");
  assert.equal(String(client.sent[0].body), "a=1");
  const blob = await send({ body: { file: new Blob(["x"]) }, sends: "multipart/form-data", receives: "bytes" });
  assert.equal(await blob.text(), "name,n");
  assert.ok(client.sent[1].body.get("file") instanceof Blob);
  assert.equal(client.sent[1].headers["content-type"], undefined);
  assert.equal(await send({}), undefined);
  const empty = new Client(() => new Response(null, { status: 204 }));
  assert.equal(await empty.call({ method: "GET", path: "/", receives: "json", mayBeEmpty: true }, {}), undefined);
});
