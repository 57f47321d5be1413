/** What the generated client needs while it runs. Depends on nothing but `fetch`: Node.js 20 or newer, and browsers. */

export interface ClientOptions {
  /** Where the API is, such as `https://api.example.com`. */
  baseUrl: string;
  /** A fixed access token or API key. */
  token?: string | undefined;
  /** The tokens of an earlier sign-in. A method that signs in sets them, too. */
  tokens?: Tokens | undefined;
  /** Called with new tokens, to store them: each refresh token is valid once. */
  onTokens?: ((tokens: Tokens) => void) | undefined;
  /** With `clientSecret`: the credentials of a machine client. */
  clientId?: string | undefined;
  clientSecret?: string | undefined;
  /** The longest time of one attempt. Default: 30. */
  timeoutSeconds?: number | undefined;
  /** Default: 4. */
  maxAttempts?: number | undefined;
  /** The longest time of a call, with its attempts and the waits between them. Default: 60. */
  maxSeconds?: number | undefined;
  /** Default: the global `fetch`. */
  fetch?: typeof fetch | undefined;
}

export interface CallOptions {
  /** Ends the call, which rejects with the reason of the signal. */
  signal?: AbortSignal | undefined;
}

export interface ChangeOptions extends CallOptions {
  /** What was read before the change, or its ETag. The call fails if it is outdated. */
  ifMatch: object | string;
}

export interface KeyedOptions extends CallOptions {
  /** The same key for the same request, also after a restart. Default: a new one, for all attempts of the call. */
  idempotencyKey?: string | undefined;
}

export interface Tokens {
  access_token: string;
  refresh_token?: string | undefined;
}

/** What the generated code knows of its API. */
export interface ApiDescription {
  /** What stands before a token in `Authorization`. */
  scheme: string;
  /** The member of an error that has its code. */
  codeProperty: string;
  errors: Readonly<Record<string, ErrorClass>>;
  refreshPath?: string;
  tokenPath?: string;
}

export type ErrorClass = new (...parameters: ConstructorParameters<typeof ApiError>) => ApiError;

/** A response with an error status. Each error code of the API has a subclass; a code that is newer than this client has none. */
export class ApiError extends Error {
  override name = "ApiError";
  readonly status: number;
  /** Identifies the kind of error. Empty if the response is none of the API, such as one of a proxy. */
  readonly code: string;
  /** Identifies the request in the logs of the server. */
  readonly requestId: string | undefined;
  /** The invalid fields. */
  readonly errors: readonly { path: string; message: string }[];
  /** The decoded body. */
  readonly body: unknown;
  readonly headers: Headers;

  constructor(status: number, headers: Headers, body: unknown, codeProperty: string) {
    const problem: Record<string, unknown> = typeof body === "object" && body !== null ? { ...body } : {};
    super(text(problem["detail"]) ?? text(problem["error_description"]) ?? `HTTP status ${status}`);
    this.status = status;
    this.code = text(problem[codeProperty]) ?? text(problem["error"]) ?? "";
    this.requestId = text(problem["request_id"]) ?? headers.get("x-request-id") ?? undefined;
    this.errors = Array.isArray(problem["errors"]) ? problem["errors"] : [];
    this.body = body;
    this.headers = headers;
  }

  /** From `Retry-After`. */
  get retryAfterSeconds(): number | undefined {
    const value = this.headers.get("retry-after");
    if (value === null) return undefined;
    const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
    return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
  }
}

/** No usable response: no connection, a connection that broke, or a timeout. */
export class ConnectionError extends Error {
  override name = "ConnectionError";
  /** Whether the server may have done what was asked. False if no attempt reached it. */
  mayHaveBeenDone: boolean;

  constructor(message: string, mayHaveBeenDone: boolean, cause: unknown) {
    super(message, { cause });
    this.mayHaveBeenDone = mayHaveBeenDone;
  }
}

const etags = new WeakMap<object, string>();

/** The ETag of what a call returned, or that text. */
export function etagOf(result: object | string): string {
  const etag = typeof result === "string" ? result : etags.get(result);
  if (etag === undefined) throw new TypeError("no ETag: ifMatch is what a call returned, not a copy of it");
  return etag;
}

/** How the next page of a list is found: by a value or a path in the page, or by counting. */
export interface Paging {
  items: string;
  next: string;
  form: "value" | "path" | "more";
  parameter: string;
}

/** A list. `await` gets its first page; `for await` its items, on all pages. Each of them sends its requests anew. */
export class Listing<Page extends object, Item> implements PromiseLike<Page>, AsyncIterable<Item> {
  readonly #read: (query: object) => Promise<Page>;
  readonly #query: object;
  readonly #paging: Paging;

  constructor(read: (query: object) => Promise<Page>, query: object, paging: Paging) {
    this.#read = read;
    this.#query = query;
    this.#paging = paging;
  }

  then<A = Page, B = never>(
    done?: ((page: Page) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#read(this.#query).then(done, failed);
  }

  /** The pages, from the first on. */
  async *pages(): AsyncGenerator<Page, void, undefined> {
    let query: object | undefined = this.#query;
    while (query !== undefined) {
      const page: Page = await this.#read(query);
      yield page;
      query = nextQuery(page, query, this.#paging);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    for await (const page of this.pages()) yield* itemsOf<Item>(page, this.#paging);
  }
}

function itemsOf<Item>(page: object, paging: Paging): Item[] {
  return (page as Record<string, Item[]>)[paging.items] ?? [];
}

/** Only the parameter is taken from a path, so that a response cannot send the credentials elsewhere. */
function nextQuery(page: object, query: object, paging: Paging): object | undefined {
  const { next, form, parameter } = paging;
  const following = (page as Record<string, unknown>)[next];
  if (form === "more") {
    const read = itemsOf(page, paging).length;
    const offset = Number((query as Record<string, unknown>)[parameter] ?? 0) + read;
    return following === true && read > 0 ? { ...query, [parameter]: offset } : undefined;
  }
  if (typeof following !== "string") return undefined;
  const value = form === "value" ? following : new URL(following, "http://localhost").searchParams.get(parameter);
  return value === null ? undefined : { ...query, [parameter]: value };
}

export interface Operation {
  method: string;
  path: string;
  query?: object | undefined;
  headers?: Record<string, string | undefined>;
  body?: unknown;
  /** The media type of the body. */
  sends?: string;
  receives?: "json" | "text" | "bytes";
  /** Some responses have no body. */
  mayBeEmpty?: boolean;
  /** The operation needs no credentials. */
  open?: boolean;
  /** The response may have the tokens for the following calls. */
  signsIn?: boolean;
  /** A repeat is safe, also without an idempotency key. */
  repeatable?: boolean;
}

interface Answer {
  status: number;
  ok: boolean;
  headers: Headers;
  data: unknown;
}

/** Sends requests. The generated client has a method for each operation. */
export class HttpClient {
  readonly #options: ClientOptions;
  readonly #api: ApiDescription;
  #tokens: { access_token?: string | undefined; refresh_token?: string | undefined };
  #renewal: Promise<void> | undefined;

  constructor(options: ClientOptions, api: ApiDescription) {
    new Request(options.baseUrl); // a TypeError if it is no URL
    if (options.clientId !== undefined && api.tokenPath === undefined) throw new TypeError("the API has no machine clients");
    this.#options = options;
    this.#api = api;
    this.#tokens = options.tokens ?? { access_token: options.token };
  }

  protected async call<T>(operation: Operation, { signal }: CallOptions): Promise<T> {
    const { timeoutSeconds = 30, maxAttempts = 4, maxSeconds = 60 } = this.#options;
    const url = urlOf(this.#options.baseUrl, operation);
    const init = { method: operation.method, headers: headersOf(operation), body: bodyOf(operation) };
    const changesNothingTwice = ["GET", "PUT"].includes(operation.method) && !init.headers.has("if-match");
    const repeatable = operation.repeatable || changesNothingTwice || init.headers.has("idempotency-key");
    const end = performance.now() + maxSeconds * 1000;
    let mayHaveBeenDone = false;
    let renewed = false;
    for (let attempt = 1; ; attempt += 1) {
      const token = operation.open ? undefined : await this.#accessToken(signal);
      if (token !== undefined) init.headers.set("authorization", `${this.#api.scheme} ${token}`);
      const left = Math.max(0, end - performance.now());
      const answer = await this.#exchange(operation, url, init, Math.min(timeoutSeconds * 1000, left), signal);
      if (!(answer instanceof ConnectionError) && answer.ok) return this.#result(answer, operation) as T;
      const failure = answer instanceof ConnectionError ? answer : this.#error(answer);
      if (failure instanceof ApiError && failure.status === 401 && token !== undefined && !renewed && this.#canRenew()) {
        renewed = true;
        await unlessAborted(this.#renew(token), signal);
        continue;
      }
      if (failure instanceof ConnectionError) {
        mayHaveBeenDone ||= failure.mayHaveBeenDone;
        failure.mayHaveBeenDone = mayHaveBeenDone;
      }
      const wait = waitMs(failure, attempt);
      const isInTime = attempt < maxAttempts && performance.now() + wait < end;
      if (!isInTime || !isTransient(failure, repeatable)) throw failure;
      await sleep(wait, signal);
    }
  }

  /** The token for a request. A machine client gets its first one here. */
  async #accessToken(signal: AbortSignal | undefined): Promise<string | undefined> {
    if (this.#tokens.access_token === undefined && this.#canRenew()) await unlessAborted(this.#renew(undefined), signal);
    return this.#tokens.access_token;
  }

  #canRenew(): boolean {
    const refreshable = this.#api.refreshPath !== undefined && this.#tokens.refresh_token !== undefined;
    return refreshable || this.#options.clientId !== undefined;
  }

  /** New tokens, unless the expired one has been replaced already: one request, whatever the number of calls. */
  #renew(expired: string | undefined): Promise<void> {
    if (this.#tokens.access_token !== expired) return Promise.resolve();
    this.#renewal ??= this.#requestTokens().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #requestTokens(): Promise<void> {
    const { clientId: client_id, clientSecret: client_secret } = this.#options;
    const request = { method: "POST", receives: "json", open: true, signsIn: true, repeatable: true } as const;
    if (client_id === undefined) {
      const body = { refresh_token: this.#tokens.refresh_token };
      await this.call({ ...request, path: this.#api.refreshPath ?? "", body, sends: "application/json" }, {});
    } else {
      const body = { grant_type: "client_credentials", client_id, client_secret };
      await this.call({ ...request, path: this.#api.tokenPath ?? "", body, sends: FORM }, {});
    }
  }

  #result({ headers, data }: Answer, { signsIn }: Operation): unknown {
    if (typeof data !== "object" || data === null) return data;
    const etag = headers.get("etag");
    if (etag !== null) etags.set(data, etag);
    if (signsIn && "access_token" in data) {
      this.#tokens = data as Tokens;
      this.#options.onTokens?.(data as Tokens);
    }
    return data;
  }

  async #exchange(
    operation: Operation,
    url: string,
    init: RequestInit,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Answer | ConnectionError> {
    signal?.throwIfAborted();
    const abort = new AbortController();
    const stop = (): void => abort.abort(signal?.reason);
    signal?.addEventListener("abort", stop);
    const timer = setTimeout(() => abort.abort(new Error(`no response in ${timeoutMs / 1000} s`)), timeoutMs);
    try {
      const response = await (this.#options.fetch ?? fetch)(url, { ...init, signal: abort.signal });
      return { status: response.status, ok: response.ok, headers: response.headers, data: await decoded(response, operation) };
    } catch (error) {
      signal?.throwIfAborted();
      return new ConnectionError(`${operation.method} ${operation.path}: ${messageOf(error)}`, !neverSent(error), error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  #error({ status, headers, data }: Answer): ApiError {
    const error = new ApiError(status, headers, data, this.#api.codeProperty);
    const Named = Object.hasOwn(this.#api.errors, error.code) ? this.#api.errors[error.code] : undefined;
    return Named === undefined ? error : new Named(status, headers, data, this.#api.codeProperty);
  }
}

/** The path of an operation, with its parameters encoded. */
export function path(parts: TemplateStringsArray, ...values: (string | number)[]): string {
  const segments = values.map((value) => {
    if (["", ".", ".."].includes(String(value))) throw new TypeError(`a parameter of a path cannot be "${value}"`);
    return encodeURIComponent(value);
  });
  return String.raw({ raw: parts }, ...segments);
}

/** A key for all attempts of one call. Unlike `crypto.randomUUID`, it works on pages without HTTPS. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether the same request may succeed later, and does not have its effect twice. */
function isTransient(failure: ApiError | ConnectionError, repeatable: boolean): boolean {
  if (failure instanceof ConnectionError) return repeatable || !failure.mayHaveBeenDone;
  return failure.status === 429 || (repeatable && ([502, 503, 504].includes(failure.status) || failure.code === "idempotency_key_in_flight"));
}

/** At least `Retry-After`, with random differences between clients. */
function waitMs(failure: ApiError | ConnectionError, attempt: number): number {
  const least = failure instanceof ApiError ? (failure.retryAfterSeconds ?? 0) : 0;
  return least * 1000 + Math.random() * Math.min(8000, 250 * 2 ** attempt);
}

const NEVER_SENT = new Set<unknown>(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

/** Whether the connection could not be opened. Only Node.js tells; a browser does not. */
function neverSent(error: unknown): boolean {
  return NEVER_SENT.has((causeOf(error) as { code?: unknown } | undefined)?.code);
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

function messageOf(error: unknown): string {
  const known = causeOf(error) ?? error;
  return known instanceof Error && known.message !== "" ? known.message : String(error);
}

function urlOf(baseUrl: string, operation: Operation): string {
  const query = fieldsOf(new URLSearchParams(), operation.query).toString();
  return baseUrl.replace(/\/$/, "") + operation.path + (query === "" ? "" : `?${query}`);
}

function headersOf({ headers = {}, sends }: Operation): Headers {
  const fields = new Headers();
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) fields.set(name, value);
  if (sends !== undefined && sends !== MULTIPART) fields.set("content-type", sends);
  return fields;
}

const FORM = "application/x-www-form-urlencoded";
const MULTIPART = "multipart/form-data";

function bodyOf({ body, sends = "" }: Operation): Required<RequestInit>["body"] {
  if (body === undefined) return null;
  if (sends === MULTIPART) return fieldsOf(new FormData(), body as object);
  if (sends === FORM) return fieldsOf(new URLSearchParams(), body as object);
  return /[/+]json\b/.test(sends) ? JSON.stringify(body, finite) : (body as string | Blob);
}

function fieldsOf<F extends FormData | URLSearchParams>(fields: F, values: object = {}): F {
  for (const [name, value] of Object.entries(values)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null) fields.append(name, each instanceof Blob ? (each as never) : String(each));
    }
  }
  return fields;
}

function finite(name: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError(`${name} is ${value}, not a number`);
  return value;
}

async function decoded(response: Response, { receives, mayBeEmpty }: Operation): Promise<unknown> {
  if (!response.ok) return parsed(await response.text());
  if (receives === "bytes") return response.blob();
  const body = await response.text();
  if (receives === "text") return body;
  return receives === undefined || (mayBeEmpty && body === "") ? undefined : JSON.parse(body);
}

/** The body of an error, which may be that of a proxy. */
function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await unlessAborted(new Promise((resolve) => (timer = setTimeout(resolve, ms))), signal);
  } finally {
    clearTimeout(timer);
  }
}

/** What was promised, or the reason of the signal if that is earlier. */
async function unlessAborted<T>(promised: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promised;
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
  });
  try {
    return await Promise.race([promised, aborted]);
  } finally {
    if (stop) signal.removeEventListener("abort", stop);
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
