// One request's story: what became of it, in the order in which it happened, and its answer.

import { el, put, link, notice, copy, ask } from "./dom.js";
import { json, send, Refusal } from "./api.js";
import { poll } from "./poll.js";
import { clip, count, duration, inOrAgo, many, plain, time } from "./format.js";
import { status } from "./batches.js";

const over = ["completed", "failed", "expired", "cancelled"];
const most = 200_000; // characters of an answer that are shown

export function oneRequest({ root, signal, readOnly }, batch, id) {
  const path = `batches/${encodeURIComponent(batch)}/requests/${encodeURIComponent(id)}`;
  const told = el("div", { "aria-live": "polite" });
  const head = el("div", { class: "title" }, el("h1", {}, "Request"));
  const actions = el("div", { class: "actions" });
  const story = el("section", { class: "panel", "aria-labelledby": "story-title", hidden: true });
  const facts = el("section", { class: "panel", "aria-labelledby": "facts-title", hidden: true });
  const answer = el("section", { class: "panel", "aria-labelledby": "answer-title", hidden: true });
  const line = el("section", { class: "panel", "aria-labelledby": "line-title", hidden: true });
  put(root, el("nav", { class: "way", "aria-label": "Way back" }, link(["batches"], {}, "Batches"), " / ",
    link(["batches", batch], {}, el("span", { class: "mono" }, clip(batch, 60))), " / ", el("span", {}, "Request")),
  head, told, actions,
  el("div", { class: "sides" }, el("div", { class: "side" }, answer, line), el("aside", { class: "side" }, story, facts)));

  let before = null;
  async function look(s) {
    const r = await json("GET", path, { signal: s });
    const text = JSON.stringify(r);
    const changed = text !== before;
    put(told);
    if (changed) draw(r);
    if (before === null) await asked(s);
    if (changed && over.includes(r.status)) await answered(r, s);
    before = text;
    return over.includes(r.status) ? "end" : changed;
  }

  function draw(r) {
    put(head, el("h1", { tabindex: "-1" }, el("bdi", { class: "mono" }, plain(r.custom_id, 200))), status(r.status));
    put(actions, over.includes(r.status) ? null : el("button", {
      type: "button", class: "danger", disabled: readOnly, title: readOnly ? "This key is read-only." : null,
      click: async () => {
        if (!await ask("Cancel this request?", "It is not sent any more. A call of it that is under way comes to nothing.", "Cancel request")) return;
        try {
          await json("POST", `${path}/cancel`, { signal });
          await again();
        } catch (error) {
          if (!signal.aborted) put(told, notice("bad", error.message));
        }
      },
    }, "Cancel request"));
    put(story, el("h2", { id: "story-title" }, "Story"), el("ol", { class: "timeline" }, ...tell(r)));
    story.hidden = false;
    put(facts, el("h2", { id: "facts-title" }, "Facts"), el("dl", { class: "facts" },
      fact("Line", count(r.line)), fact("custom_id", el("bdi", { class: "mono" }, plain(r.custom_id, 512)), copy(r.custom_id, "Copy the custom_id")),
      fact("Id", el("span", { class: "mono" }, r.id)), fact("Attempts", count(r.attempts)),
      r.status_code ? fact("HTTP status", String(r.status_code)) : null,
      r.model ? fact("Model", el("bdi", {}, clip(r.model, 200))) : null,
      r.reason ? fact("Reason", el("bdi", {}, clip(r.reason, 160))) : null,
      r.failure_kind ? fact("Kind of failure", r.failure_kind.replaceAll("_", " ")) : null,
      r.reclaims ? fact("Workers lost", count(r.reclaims)) : null));
    facts.hidden = false;
  }

  // answered shows the line that the output or error file has of it.
  async function answered(r, s) {
    answer.hidden = false;
    put(answer, el("h2", { id: "answer-title" }, "Answer"), el("p", { class: "soft" }, "Fetching it …"));
    let text;
    try {
      text = await (await send("GET", `${path}/answer`, { signal: s })).text();
    } catch (error) {
      if (s.aborted) throw error;
      const none = error instanceof Refusal && error.status === 404;
      put(answer, el("h2", { id: "answer-title" }, "Answer"), none && error.code === "unknown_url"
        ? el("p", { class: "soft" }, "This server shows no single answers: the batch's files have it.")
        : notice(none ? "note" : "bad", error.message));
      return;
    }
    const said = read(text);
    put(answer, el("h2", { id: "answer-title" }, "Answer"),
      said ? el("div", { class: "answer", tabindex: "0" }, el("bdi", {}, clip(said, most))) : null,
      el("details", { open: !said }, el("summary", {}, "The whole line"), whole(text)),
      el("div", { class: "actions" }, copy(said || text, "Copy the answer")));
  }

  // asked shows the request's own line of the input file.
  async function asked(s) {
    try {
      const text = await (await send("GET", `${path}/line`, { signal: s })).text();
      put(line, el("h2", { id: "line-title" }, "What was asked"), whole(text));
      line.hidden = false;
    } catch (error) {
      if (s.aborted) throw error; // otherwise the page does without
    }
  }

  const again = poll(look, { signal, least: 1500, most: 15_000, failed: (error) => put(told, notice("bad", error.message)) });
}

// whole is a line of JSON, laid out; as it is if it is none.
function whole(text) {
  let laid = text;
  try {
    laid = JSON.stringify(JSON.parse(text), null, 2);
  } catch { /* as it is */ }
  return el("pre", { tabindex: "0" }, clip(laid, most));
}

// read finds what the model said, or of what the provider complained, in a line of a result file; empty where it has another shape.
export function read(text) {
  let line;
  try {
    line = JSON.parse(text);
  } catch {
    return "";
  }
  const body = line?.response?.body;
  const found = [
    line?.error?.message, body?.error?.message, body?.choices?.[0]?.message?.content, body?.choices?.[0]?.text,
    body?.output?.flatMap?.((o) => o?.content ?? []).map((c) => c?.text).filter((t) => typeof t === "string").join("\n"),
  ].find((t) => typeof t === "string" && t);
  return found ?? "";
}

// tell is what happened to a request, as far as its record says.
function tell(r) {
  const steps = [["Ordered with its batch", r.created_at]];
  if (r.attempts > 1 || (r.attempts === 1 && r.last_failure && !over.includes(r.status))) {
    const failed = over.includes(r.status) || r.started_at ? r.attempts - 1 : r.attempts;
    if (failed > 0) steps.push([`${many(failed, "attempt")} failed`, null, r.status === "completed" ? null : r.last_failure]);
  }
  if (r.claimed_at) steps.push([r.attempts > 1 && over.includes(r.status) ? "Claimed for its last attempt" : "Claimed by a worker", r.claimed_at]);
  if (r.started_at) steps.push([!over.includes(r.status) ? "Being called" : r.attempts > 1 ? "Last call began" : "Call began", r.started_at]);
  if (r.status === "completed") steps.push(["Answered", r.finished_at, r.status_code ? `HTTP status ${r.status_code}` : null]);
  if (r.status === "failed") steps.push(["Failed", r.finished_at, r.last_failure, denied(r.retry_denied)]);
  if (r.status === "expired") steps.push(["Overtaken by the batch's deadline", r.finished_at, r.last_failure]);
  if (r.status === "cancelled") steps.push(["Cancelled", r.finished_at, r.last_failure]);
  if (r.status === "pending") steps.push([r.next_try_at ? `Is tried again ${inOrAgo(r.next_try_at)}` : "Waits for its turn", r.next_try_at]);
  let last = null;
  return steps.map(([what, at, ...more]) => {
    const gap = at && last ? at - last : 0;
    if (at) last = at;
    return el("li", {}, el("strong", {}, what), at ? el("time", { datetime: new Date(at * 1000).toISOString() }, time(at)) : null,
      gap >= 1 ? el("span", { class: "soft" }, `after ${duration(gap)}`) : null,
      ...more.filter(Boolean).map((t) => el("span", { class: "why" }, el("bdi", {}, clip(t, 1000)))));
  });
}

function denied(why) {
  return why ? `It was not tried again: ${why.replaceAll("_", " ")}.` : null;
}

function fact(name, ...value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
}
