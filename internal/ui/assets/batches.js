// The tenant's batches, newest first.

import { el, svg, put, link, address, Rows, notice, say } from "./dom.js";
import { json, Refusal } from "./api.js";
import { poll } from "./poll.js";
import { ago, clip, count, ended, inOrAgo, plain, time, word } from "./format.js";

const page = 20; // batches

const states = ["validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"];

export function batchList({ root, signal, query, readOnly }) {
  const told = el("div", { "aria-live": "polite" });
  const body = el("tbody");
  const rows = new Rows(body, (b) => b.id, row);
  const table = el("table", { class: "list batches" },
    el("caption", { class: "unseen" }, "Batches, newest first"),
    el("thead", {}, el("tr", {}, ...["Batch", "Status", "Progress", "Endpoint", "Created", "End"].map((t) => el("th", { scope: "col" }, t)))),
    body);
  const empty = el("div", { class: "empty", hidden: true });
  const more = el("button", { type: "button", hidden: true, click: () => further() }, "More");

  const go = (change) => { location.hash = address(["batches"], { ...query, ...change }); };
  const search = el("input", { id: "search", type: "search", value: query.search ?? "", maxlength: 200, autocomplete: "off", spellcheck: "false" });
  const filters = el("form", {
    class: "filters", role: "search",
    submit: (event) => { event.preventDefault(); go({ search: search.value.trim() }); },
  },
  el("div", {}, el("label", { for: "status" }, "Status"),
    el("select", { id: "status", change: (event) => go({ status: event.target.value }) },
      el("option", { value: "" }, "All"),
      ...states.map((s) => el("option", { value: s, selected: query.status === s }, word(s))))),
  el("div", { class: "grow" }, el("label", { for: "search" }, "Search"), search),
  el("button", {}, "Search"),
  query.status || query.search ? link(["batches"], {}, "Clear") : null);

  put(root,
    el("div", { class: "title" }, el("h1", {}, "Batches"),
      readOnly ? null : el("a", { class: "button primary", href: "#/new" }, "New batch")),
    filters, told, table, empty, more);
  table.hidden = true;

  let shown = []; // what further pages have brought, behind the first
  let last = null;
  const read = (after, s) => list({ ...query, after, limit: page }, s);

  async function first(s) {
    const answer = await read("", s);
    put(told);
    const ids = new Set(answer.data.map((b) => b.id));
    const before = JSON.stringify(shown.slice(0, page));
    const beyond = answer.has_more && last !== null && last < answer.last_id; // More has looked behind this page
    const behind = beyond ? shown.filter((b) => !ids.has(b.id) && b.id < answer.last_id) : [];
    shown = [...answer.data, ...behind];
    if (!beyond) {
      last = answer.last_id;
      more.hidden = !answer.has_more;
    }
    draw();
    return JSON.stringify(shown.slice(0, page)) !== before;
  }

  async function further() {
    more.disabled = true;
    try {
      const answer = await read(last, signal);
      const ids = new Set(shown.map((b) => b.id));
      shown = [...shown, ...answer.data.filter((b) => !ids.has(b.id))];
      last = answer.last_id ?? last;
      more.hidden = !answer.has_more;
      draw();
      say(`${count(shown.length)} batches are shown.`);
    } catch (error) {
      if (!signal.aborted) put(told, notice("bad", error.message));
    }
    more.disabled = false;
  }

  function draw() {
    rows.show(shown);
    table.hidden = !shown.length;
    empty.hidden = shown.length > 0;
    if (shown.length) return;
    if (!more.hidden) put(empty, el("p", {}, "None among the newest. ", "Look further with More."));
    else if (query.status || query.search) put(empty, el("p", {}, "No batch is like that. "), link(["batches"], {}, "Show all"));
    else put(empty, el("h2", {}, "No batches yet"), el("p", {}, "Send a file of requests, one JSON object a line, and watch it here."),
      readOnly ? el("p", { class: "soft" }, "This key is read-only: it cannot send one.") : el("a", { class: "button primary", href: "#/new" }, "New batch"));
  }

  const again = poll(first, {
    signal, least: 3000, most: 20_000,
    failed: (error) => put(told, notice("bad", error.message)),
    idle: () => put(told, notice("note", "Nobody was here for two hours: the list is no longer kept up to date. ",
      el("button", { type: "button", click: () => { put(told); again(); } }, "Go on"))),
  });
}

// list reads a page. A server that does not filter is asked without filters, and its page is filtered here.
async function list(query, signal) {
  try {
    return await json("GET", "batches", { query, signal });
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== "unknown_parameter") throw error;
    const answer = await json("GET", "batches", { query: { after: query.after, limit: query.limit }, signal });
    const wanted = (query.search ?? "").toLowerCase();
    answer.data = answer.data.filter((b) => (!query.status || b.status === query.status) &&
      (!wanted || JSON.stringify([b.id, b.metadata, b.model]).toLowerCase().includes(wanted)));
    return answer;
  }
}

// row is a batch's row. The first cell's link is how one gets to it by keyboard.
function row() {
  const node = el("tr");
  return {
    node,
    update(b) {
      const text = JSON.stringify(b) + Math.floor(Date.now() / 10_000);
      if (node.dataset.text === text) return;
      const focused = node.contains(document.activeElement);
      put(node,
        el("th", { scope: "row", "data-label": "Batch" },
          link(["batches", b.id], {}, el("span", { class: "mono" }, shortID(b.id))),
          labels(b)),
        el("td", { "data-label": "Status" }, status(b.status)),
        el("td", { "data-label": "Progress" }, progress(b)),
        el("td", { "data-label": "Endpoint" }, el("span", { class: "mono small endpoint" }, b.endpoint), b.model ? el("span", { class: "sub" }, clip(b.model, 60)) : null),
        el("td", { "data-label": "Created", title: time(b.created_at) }, ago(b.created_at)),
        el("td", { "data-label": "End" }, ends(b)));
      node.dataset.text = text;
      if (focused) node.querySelector("a").focus();
    },
  };
}

// labels are what the user wrote about a batch.
function labels(b) {
  const own = Object.entries(b.metadata ?? {});
  if (!own.length) return null;
  return el("span", { class: "sub" }, clip(own.slice(0, 3).map(([k, v]) => (k === "name" ? "" : plain(k, 64) + ": ") + plain(v, 60)).join(" · "), 80));
}

function ends(b) {
  const at = b.completed_at ?? b.failed_at ?? b.expired_at ?? b.cancelled_at;
  if (ended(b.status)) return at ? el("span", { title: time(at) }, ago(at)) : "";
  return el("span", { title: time(b.expires_at) }, `${inOrAgo(b.expires_at)} at most`);
}

export const status = (s) => el("span", { class: `status s-${/^[a-z_]+$/.test(s) ? s : "other"}` }, word(s));

// shortID is the end of an id, by which people tell batches apart.
export const shortID = (id) => (id.length > 20 ? `${id.slice(0, 6)}…${id.slice(-8)}` : id);

// progress is a bar and what it says in words.
export function progress(b) {
  const c = b.request_counts;
  const done = c.completed + c.failed + c.expired + c.cancelled;
  const parts = [["ok", c.completed, "completed"], ["bad", c.failed, "failed"], ["late", c.expired, "expired"], ["off", c.cancelled, "cancelled"]];
  const said = parts.filter(([, n]) => n).map(([kind, n, what]) => el("span", { class: `t-${kind}` }, `${count(n)} ${what}`));
  return el("div", { class: "progress" }, bar(parts, c.total),
    el("div", { class: "small" }, el("span", {}, c.total ? `${count(done)} of ${count(c.total)}` : ended(b.status) ? "no requests" : "the file is being read"),
      ...said.filter((_, i) => !(i === 0 && c.completed === done && said.length === 1)).flatMap((s) => [" · ", s])));
}

// bar is a drawing without words: they stand beside it.
export function bar(parts, total) {
  const node = svg("svg", { class: "bar-line", viewBox: "0 0 1000 8", preserveAspectRatio: "none", "aria-hidden": "true" });
  let x = 0;
  for (const [kind, n] of parts) {
    if (!n || !total) continue;
    const width = 1000 * n / total;
    node.append(svg("rect", { x: Math.min(x, 996), y: 0, width: Math.max(width, 4), height: 8, class: `f-${kind}` }));
    x += width;
  }
  return node;
}
