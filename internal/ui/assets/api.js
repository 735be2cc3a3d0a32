// The API, which lies one step above the page, asked with the key of this tab.

const base = new URL("../", document.baseURI);
const place = "musketry.key"; // in sessionStorage: this tab's, and gone with it

export const key = () => sessionStorage.getItem(place);
export const keep = (text) => sessionStorage.setItem(place, text);
export const forget = () => sessionStorage.removeItem(place);

// Whoever is told that the key is refused, with the reason.
let refused = () => {};
export const onRefused = (f) => { refused = f; };

// A Refusal is an answer that is not the one asked for. status is 0 where there was none.
export class Refusal extends Error {
  constructor(message, { status = 0, code = null, param = null, request = null, again = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, param, request, again });
  }

  // Whether the same call may go well later.
  get passing() { return this.status === 0 || this.status === 429 || this.status >= 500; }
}

const patience = 30_000; // milliseconds

// send makes one call, and returns its response once that is not a refusal. body is an object, sent as JSON, or a form.
export async function send(method, path, { query = {}, headers: others = {}, body, signal, within = patience } = {}) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) if (value || value === 0) url.searchParams.set(name, value);
  const headers = { ...others, authorization: `Bearer ${key()}` };
  if (body && !(body instanceof FormData)) {
    headers["content-type"] = "application/json";
    body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(url, {
      method, headers, body, cache: "no-store", credentials: "omit", redirect: "error",
      signal: AbortSignal.any([AbortSignal.timeout(within), ...(signal ? [signal] : [])]),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(error.name === "TimeoutError"
      ? "The server did not answer in time." : "The server cannot be reached. Is the network there?");
  }
  if (!response.ok) {
    const refusal = await refusalOf(response);
    if (refusal.status === 401) refused(refusal.message);
    throw refusal;
  }
  return response;
}

async function refusalOf(response) {
  const told = { status: response.status, request: response.headers.get("x-request-id"), again: Number(response.headers.get("retry-after")) || 0 };
  try {
    const { error } = await response.json();
    return new Refusal(String(error.message), { ...told, code: error.code, param: error.param });
  } catch {
    return new Refusal(`The server answered ${response.status}.`, told);
  }
}

// json does the same and returns what the answer says.
export async function json(method, path, options) {
  const response = await send(method, path, options);
  try {
    return await response.json();
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Refusal("The server's answer broke off.");
  }
}

// optional asks a route that an older server does not have: null then.
export async function optional(method, path, options) {
  try {
    return await json(method, path, options);
  } catch (error) {
    if (error instanceof Refusal && (error.status === 404 || error.status === 405)) return null;
    throw error;
  }
}

const orders = new Map(); // keys of orders that no answer has come to, by what is ordered

// order makes a call that orders, and costs. Where its answer was lost, the same order once more is told the batch that the
// first has made, if it has: the server knows it by its key.
export async function order(path, { body, signal } = {}) {
  const what = JSON.stringify([path, body]);
  if (!orders.has(what)) orders.set(what, random());
  const made = await json("POST", path, { headers: { "idempotency-key": orders.get(what) }, body, signal });
  orders.delete(what);
  return made;
}

const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

// pause waits some milliseconds, or until the signal, whose reason it throws.
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(); }, ms);
    const stop = () => { clearTimeout(timer); reject(signal.reason); };
    signal?.addEventListener("abort", stop, { once: true });
  });
}

// insist makes a call again where that may go well, five times at most, with waits that grow and differ.
export async function insist(call, signal, tries = 5) {
  for (let n = 1; ; n++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof Refusal) || !error.passing || n === tries) throw error;
      const wait = Math.max(Math.min(error.again, 30) * 1000, 250 * 2 ** n);
      await pause(wait * (1 + Math.random() / 2), signal);
    }
  }
}
