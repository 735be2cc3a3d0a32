// The requests of a batch, in the order of their lines.

import { el, put, link, Rows, notice, say } from "./dom.js";
import { json, Refusal } from "./api.js";
import { clip, count, plain, time, word } from "./format.js";
import { status } from "./batches.js";

const page = 25;
const looks = 8; // pages that one wish for more may ask for: of those that a filter leaves out many may be empty

const states = ["pending", "in_progress", "completed", "failed", "expired", "cancelled"];

// requestList makes the section. go(change) is called with filters that the user sets; reasons() are those that are known.
export function requestList({ batch, query, signal, go }) {
  const told = el("div", { "aria-live": "polite" });
  const body = el("tbody");
  const rows = new Rows(body, (r) => r.id, (r) => row(batch, r));
  const table = el("table", { class: "list requests" },
    el("caption", { class: "unseen" }, "Requests, in the order of their lines"),
    el("thead", {}, el("tr", {}, ...["Line", "custom_id", "Status", "Attempts", "Last failure"].map((t) => el("th", { scope: "col" }, t)))), body);
  const more = el("button", { type: "button", hidden: true, click: () => read(true) }, "More");
  const again = el("button", { type: "button", hidden: true, click: () => read(false) }, "Look again");
  const search = el("input", { id: "request-search", type: "search", value: query.search ?? "", maxlength: 256, autocomplete: "off", spellcheck: "false", placeholder: "custom_id" });
  const form = el("form", {
    class: "filters", role: "search", "aria-label": "Requests",
    submit: (event) => { event.preventDefault(); go({ search: search.value }); },
  },
  el("div", {}, el("label", { for: "request-status" }, "Status"),
    el("select", { id: "request-status", change: (event) => go({ status: event.target.value }) },
      el("option", { value: "" }, "All"), ...states.map((s) => el("option", { value: s, selected: query.status === s }, word(s))))),
  el("div", { class: "grow" }, el("label", { for: "request-search" }, "Search"), search),
  el("button", {}, "Search"),
  query.reason ? el("span", { class: "chip" }, el("span", {}, `Reason: ${clip(query.reason, 80)}`),
    el("button", { type: "button", class: "quiet small", "aria-label": "Drop the filter by reason", click: () => go({ reason: "" }) }, "✕")) : null);

  let shown = [];
  let last = "";
  let behind = false;
  let busy = false;
  let looked = false;
  const filtered = Boolean(query.status || query.search || query.reason);

  // read asks for the page after what is shown, or for as much as is shown anew.
  async function read(on) {
    if (busy) return;
    busy = true;
    more.disabled = again.disabled = true;
    try {
      const found = on ? [...shown] : await exact(batch, query, signal);
      const ids = new Set(found.map((r) => r.id));
      let after = on ? last : "";
      const wanted = on ? shown.length + page : Math.max(shown.length, page);
      for (let n = 0; n < looks && found.length < wanted; n++) {
        const answer = await list(batch, { ...query, after, limit: Math.min(100, wanted - found.length) }, signal);
        found.push(...answer.data.filter((r) => !ids.has(r.id)));
        after = answer.last_id ?? after;
        behind = answer.has_more;
        if (!behind) break;
      }
      shown = found;
      last = after;
      looked = true;
      draw();
      if (on) say(`${count(shown.length)} requests are shown.`);
    } catch (error) {
      if (!signal.aborted) put(told, notice("bad", error.message));
    } finally {
      busy = false;
      more.disabled = again.disabled = false;
    }
  }

  function draw() {
    rows.show(shown);
    table.hidden = !shown.length;
    more.hidden = !behind;
    again.hidden = !filtered;
    if (shown.length) put(told);
    else if (behind) put(told, el("p", { class: "soft" }, "None so far. There are more to look through."));
    else put(told, el("p", { class: "soft" }, filtered ? "No request is like that." : "Its requests are seen here once the file has been read."));
  }

  table.hidden = true;
  const node = el("section", { class: "panel", "aria-labelledby": "requests-title" },
    el("h2", { id: "requests-title" }, "Requests"), form, told, table, more, again);
  // Through a filter one page may cost thousands of reads: what is shown stays until somebody asks.
  return { node, refresh: async () => { if (!filtered || !looked) await read(false); } };
}

// exact is the request whose custom_id a search has in full: among a million it is found at once, and a search is not.
async function exact(batch, { search, reason, status: wanted }, signal) {
  if (!search) return [];
  const answer = await json("GET", `batches/${encodeURIComponent(batch)}/requests`, { query: { custom_id: search, status: wanted }, signal });
  return answer.data.filter((r) => !reason || r.reason === reason);
}

// list reads a page. A server that does not search finds a custom_id that is named in full.
async function list(batch, { search, reason, ...query }, signal) {
  const path = `batches/${encodeURIComponent(batch)}/requests`;
  try {
    return await json("GET", path, { query: { ...query, search, reason }, signal });
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== "unknown_parameter") throw error;
    return json("GET", path, { query: { ...query, custom_id: search }, signal });
  }
}

function row(batch, r) {
  const node = el("tr");
  return {
    node,
    update(now) {
      const text = JSON.stringify(now);
      if (node.dataset.text === text) return;
      const focused = node.contains(document.activeElement);
      put(node,
        el("td", { "data-label": "Line", class: "number" }, count(now.line)),
        el("th", { scope: "row", "data-label": "custom_id" }, link(["batches", batch, "requests", now.id], {}, el("bdi", { class: "mono" }, plain(now.custom_id, 120)))),
        el("td", { "data-label": "Status" }, status(now.status)),
        el("td", { "data-label": "Attempts", class: "number" }, count(now.attempts)),
        el("td", { "data-label": "Last failure" }, failure(now)));
      node.dataset.text = text;
      if (focused) node.querySelector("a").focus();
    },
  };
}

function failure(r) {
  if (!r.last_failure) return "";
  return [el("bdi", {}, clip(r.last_failure, 140)),
    r.next_try_at ? el("span", { class: "sub", title: time(r.next_try_at) }, "is tried again") : null];
}
