// The page: who is signed in, and which view the address asks for.

import { el, put } from "./dom.js";
import { key, keep, forget, onRefused, optional, json, Refusal } from "./api.js";
import { inOrAgo, time } from "./format.js";
import { signIn } from "./signin.js";
import { batchList } from "./batches.js";
import { oneBatch } from "./batch.js";
import { oneRequest } from "./request.js";
import { newBatch } from "./submit.js";

const top = document.getElementById("top");
const main = document.getElementById("main");
let leave = new AbortController(); // ends what the view before has begun
let who = null; // what GET /usage says; null: not asked yet

// A place is what follows # in the address: parts of a path, and filters.
function place() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  let parts = [];
  try {
    parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  } catch { /* an address that nobody here wrote: the list */ }
  return { parts, query: Object.fromEntries(new URLSearchParams(search)) };
}

async function show({ focus = true } = {}) {
  leave.abort(new DOMException("The view was left.", "AbortError"));
  leave = new AbortController();
  const { signal } = leave;
  if (!key()) {
    who = null;
    header();
    signIn(main, enter);
    return;
  }
  if (!who) {
    put(main, el("p", { class: "soft" }, "Asking whose key this is …"));
    try {
      who = await identify(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refusal && error.status === 401) {
        leaveFor(`Signed out: ${error.message}`);
        return;
      }
      put(main, el("div", { class: "notice bad", role: "alert" }, error.message),
        el("div", { class: "actions" },
          el("button", { type: "button", click: () => show() }, "Try again"),
          el("button", { type: "button", click: () => leaveFor() }, "Sign out")));
      return;
    }
    if (signal.aborted) return;
  }
  header();
  const { parts, query } = place();
  const view = { root: main, signal, query, readOnly: Boolean(who.key?.read_only), usage: who, show };
  if (parts[0] === "new") newBatch(view);
  else if (parts[0] === "batches" && parts[2] === "requests" && parts[3]) oneRequest(view, parts[1], parts[3]);
  else if (parts[0] === "batches" && parts[1]) oneBatch(view, parts[1]);
  else batchList(view);
  if (focus) {
    const title = main.querySelector("h1");
    if (title) {
      title.tabIndex = -1;
      title.focus({ preventScroll: true });
    }
    scrollTo(0, 0);
  }
}

// identify asks what the key is. An older server does not say: then a list tells at least whether it is good.
async function identify(signal) {
  const told = await optional("GET", "usage", { signal });
  if (told) return told;
  await json("GET", "batches", { query: { limit: 1 }, signal });
  return {};
}

async function enter(text) {
  keep(text);
  try {
    who = await identify();
  } catch (error) {
    forget();
    throw error instanceof Refusal && error.status === 401
      ? new Refusal("This key is not known here, has ended, or was revoked.", error) : error;
  }
  await show();
}

function leaveFor(reason) {
  forget();
  who = null;
  show();
  if (reason) main.prepend(el("div", { class: "notice bad", role: "alert" }, reason));
}

onRefused((reason) => { if (who) leaveFor(`Signed out: ${reason}`); });

function header() {
  const { parts } = place();
  const at = parts[0] === "new" ? "new" : "batches";
  const current = (name) => (at === name ? { "aria-current": "page" } : {});
  const nav = el("a", { href: "#/batches", ...current("batches") }, "Batches");
  const add = el("a", { href: "#/new", ...current("new") }, "New batch");
  put(top,
    el("div", { class: "bar" },
      el("a", { class: "brand", href: "#/batches" }, el("img", { src: "icon.svg", alt: "", width: 22, height: 22 }), "Musketry"),
      who && el("nav", { "aria-label": "Views" }, nav, add),
      who && el("div", { class: "who" }, badge(),
        el("button", { type: "button", class: "quiet", click: () => leaveFor() }, "Sign out"))));
}

// badge says which key is used, what it may, and when it ends.
function badge() {
  const k = who.key;
  if (!k) return el("span", { class: "soft" }, "Signed in");
  return el("span", { class: "key", title: k.expires_at ? `This key ends ${time(k.expires_at)}` : null },
    el("span", { class: "tenant" }, who.tenant ?? ""),
    el("span", { class: "name" }, k.name || "unnamed key"),
    k.read_only ? el("span", { class: "tag" }, "read-only") : null,
    k.expires_at && k.expires_at - Date.now() / 1000 < 14 * 86400
      ? el("span", { class: "tag warn" }, `ends ${inOrAgo(k.expires_at)}`) : null);
}

addEventListener("hashchange", () => show());
show({ focus: false });
