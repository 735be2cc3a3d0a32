// One batch: how far it is, how it went, why it waits, what failed, and its requests.

import { el, put, link, address, notice, copy, ask, say } from "./dom.js";
import { json, optional, order } from "./api.js";
import { poll } from "./poll.js";
import { bytes, clip, count, duration, ended, inOrAgo, many, plain, rate, time, word } from "./format.js";
import { bar, status } from "./batches.js";
import { requestList } from "./requests.js";
import { download } from "./download.js";
import { chart } from "./chart.js";
import { held, linesOf, shown as lineLength } from "./lines.js";

const smallFile = 5_000_000; // bytes of an input file whose lines are fetched unasked

export function oneBatch({ root, signal, query, readOnly }, id) {
  const path = `batches/${encodeURIComponent(id)}`;
  const told = el("div", { "aria-live": "polite" });
  const title = el("div", { class: "title" }, el("h1", {}, "Batch"));
  const actions = el("div", { class: "actions" });
  const summary = el("section", { class: "panel summary", "aria-label": "Progress", hidden: true });
  const waits = el("div");
  const bad = el("section", { class: "panel", hidden: true, "aria-labelledby": "errors-title" });
  const life = el("section", { class: "panel", hidden: true, "aria-labelledby": "life-title" });
  const reasons = el("section", { class: "panel", hidden: true, "aria-labelledby": "reasons-title" });
  const times = el("section", { class: "panel", hidden: true, "aria-labelledby": "times-title" });
  const facts = el("section", { class: "panel", hidden: true, "aria-labelledby": "facts-title" });
  const go = (change) => { location.hash = address(["batches", id], { ...query, ...change }); };
  const requests = requestList({ batch: id, query, signal, go });
  requests.node.hidden = true;
  put(root, el("nav", { class: "way", "aria-label": "Way back" }, link(["batches"], {}, "Batches"), " / ", el("span", { class: "mono" }, clip(id, 60))),
    title, told, actions, waits, summary, bad,
    el("div", { class: "sides" }, el("div", { class: "side" }, life, requests.node), el("aside", { class: "side" }, reasons, times, facts)));

  const seen = []; // what this page has seen, where the server keeps no samples
  let keeps = true; // whether it does
  let samples = [];
  let file = null; // its input; null: not asked yet
  let before = null;
  let drawn = ""; // of the file's errors
  const filtered = Boolean(query.status || query.search || query.reason);

  async function look(s) {
    const b = await json("GET", path, { signal: s });
    const text = JSON.stringify(b);
    const changed = text !== before;
    // The file of a retry is made before it is read.
    if (!file && !(b.retry_of && b.status === "validating")) file = await optional("GET", `files/${encodeURIComponent(b.input_file_id)}`, { signal: s }) ?? {};
    if (keeps && (changed || !ended(b.status))) await history(b, s);
    if (!keeps) watch(b);
    if (changed || !ended(b.status)) draw(b);
    if (changed && before && JSON.parse(before).status !== b.status) say(`The batch is ${word(b.status).toLowerCase()}.`);
    if (changed || before === null) await requests.refresh();
    before = text;
    put(told);
    return ended(b.status) ? "end" : changed;
  }

  async function history(b, s) {
    const answer = await optional("GET", `${path}/progress`, { signal: s });
    if (!answer) {
      keeps = false;
      return;
    }
    samples = [...answer.samples];
    const begin = b.in_progress_at ?? b.created_at;
    if (b.in_progress_at && (!samples.length || samples[0].at > begin)) samples.unshift({ at: begin, completed: 0, failed: 0 });
    why(answer.failures ?? []);
  }

  function watch(b) {
    const c = b.request_counts;
    if (b.in_progress_at && !seen.length && !ended(b.status)) seen.push({ at: Math.min(b.in_progress_at, now() - 1), completed: 0, failed: 0 });
    if (!seen.length || now() > seen.at(-1).at) seen.push({ at: now(), completed: c.completed, failed: c.failed });
    if (seen.length > 600) seen.splice(1, 1);
    samples = seen;
  }

  function draw(b) {
    const c = b.request_counts;
    const done = c.completed + c.failed + c.expired + c.cancelled;
    const name = file?.filename ? plain(file.filename, 100) : "Batch";
    put(title, el("h1", { tabindex: "-1" }, el("bdi", {}, name)), status(b.status));
    put(actions, ...buttons(b));

    const speed = speedOf(samples);
    const left = c.total - done;
    const parts = [["ok", c.completed], ["bad", c.failed], ["late", c.expired], ["off", c.cancelled]];
    put(summary,
      bar(parts, c.total),
      el("dl", { class: "tiles" },
        tile("Done", c.total ? `${count(done)} of ${count(c.total)}` : "0", c.total ? `${Math.floor(100 * done / c.total)} %` : "the file is being read"),
        tile("Completed", count(c.completed), null, "ok"),
        tile("Failed", count(c.failed), null, c.failed ? "bad" : null),
        c.expired || c.cancelled ? tile("Expired, cancelled", `${count(c.expired)}, ${count(c.cancelled)}`) : null,
        ended(b.status)
          ? tile("Took", duration(endOf(b) - b.created_at), overall(b, done))
          : tile("Now", rate(speed), left && speed ? `about ${duration(left / speed)} to go` : left ? "no end in sight yet" : "being written out")));
    summary.hidden = !c.total && b.status !== "validating";

    put(waits, ...(b.waiting ?? []).map((w) => notice("note",
      el("strong", {}, w.model ? `Waiting for ${clip(w.model, 80)}` : "Waiting"), " ", w.message, w.until ? ` Until ${time(w.until)} (${inOrAgo(w.until)}).` : "")));

    mend(b);
    life.hidden = !samples.length || !c.total;
    if (!life.hidden) {
      put(life, el("h2", { id: "life-title" }, "Throughput and failures"),
        !keeps && ended(b.status) ? el("p", { class: "soft" }, "This server keeps no samples of a batch's life.") : chart(samples, keeps));
    }
    requests.node.hidden = !c.total;

    const steps = [["Created", b.created_at], ["In progress", b.in_progress_at], ["Cancelling", b.cancelling_at], ["Finalizing", b.finalizing_at],
      ["Completed", b.completed_at], ["Failed", b.failed_at], ["Expired", b.expired_at], ["Cancelled", b.cancelled_at]].filter(([, at]) => at);
    steps.sort((a, z) => a[1] - z[1]);
    put(times, el("h2", { id: "times-title" }, "Timeline"),
      el("ol", { class: "timeline" },
        ...steps.map(([what, at], i) => el("li", {}, el("strong", {}, what), el("time", { datetime: new Date(at * 1000).toISOString() }, time(at)),
          i ? el("span", { class: "soft" }, `after ${duration(at - steps[i - 1][1])}`) : null)),
        ended(b.status) ? null : el("li", { class: "future" }, el("strong", {}, "Ends at the latest"), el("time", {}, time(b.expires_at)), el("span", { class: "soft" }, inOrAgo(b.expires_at)))));
    times.hidden = false;

    const u = b.usage;
    put(facts, el("h2", { id: "facts-title" }, "Facts"),
      el("dl", { class: "facts" },
        fact("Id", el("span", { class: "mono" }, b.id), copy(b.id, "Copy the batch's id")),
        fact("Endpoint", el("span", { class: "mono" }, b.endpoint)),
        b.model ? fact("Model", el("bdi", {}, clip(b.model, 200))) : null,
        fact("Window", b.completion_window),
        fact("Input", el("span", { class: "mono" }, b.input_file_id), file?.bytes !== undefined ? ` ${bytes(file.bytes)}` : null),
        b.retry_of ? fact("Retry of", link(["batches", b.retry_of], {}, el("span", { class: "mono" }, b.retry_of))) : null,
        u ? fact("Tokens", `${count(u.input_tokens)} in, ${count(u.output_tokens)} out`) : null,
        ...Object.entries(b.metadata ?? {}).map(([k, v]) => fact(el("bdi", {}, plain(k, 64)), el("bdi", {}, plain(v, 512))))));
    facts.hidden = false;
  }

  function buttons(b) {
    const c = b.request_counts;
    const tell = (text) => put(told, text ? notice("bad", text) : null);
    const out = [];
    if (b.output_file_id) out.push(download(b.output_file_id, "Download answers", tell));
    if (b.error_file_id) out.push(download(b.error_file_id, "Download failures", tell));
    const failed = c.failed + c.expired + c.cancelled;
    const act = (label, kind, f) => {
      const button = el("button", {
        type: "button", class: kind, disabled: readOnly, title: readOnly ? "This key is read-only." : null,
        click: async () => {
          button.disabled = true;
          try {
            await f();
          } catch (error) {
            if (!signal.aborted) tell(error.message);
          }
          button.disabled = readOnly;
        },
      }, label);
      return button;
    };
    if (ended(b.status) && failed) {
      out.push(act(`Retry ${many(failed, "request")}`, "primary", async () => {
        const made = await order(`${path}/retry`, { signal });
        location.hash = address(["batches", made.id]);
      }));
    }
    if (["validating", "in_progress"].includes(b.status)) {
      out.push(act("Cancel batch", "danger", async () => {
        if (!await ask("Cancel this batch?", "Requests that have ended stay as they are, and their answers are kept. The others are not sent any more.", "Cancel batch")) return;
        await json("POST", `${path}/cancel`, { signal });
        await again();
      }));
    }
    return out;
  }

  // why groups what failed by its reason.
  function why(failures) {
    reasons.hidden = !failures.length;
    const total = failures.reduce((n, f) => n + f.requests, 0);
    put(reasons, el("h2", { id: "reasons-title" }, "Why requests failed"),
      el("ul", { class: "reasons" }, ...failures.map((f) => el("li", {},
        f.reason === "other" ? el("span", {}, "other") : link(["batches", id], { reason: f.reason }, el("bdi", {}, clip(f.reason, 160))), // of the rest no list is kept
        el("span", { class: "number" }, count(f.requests)), bar([["bad", f.requests]], total)))));
  }

  // mend shows the errors of a file that was refused, each at its line.
  function mend(b) {
    const errors = b.errors?.data ?? [];
    bad.hidden = !errors.length;
    const text = JSON.stringify(errors);
    if (!errors.length || text === drawn) return;
    drawn = text;
    const texts = new Map();
    const list = el("ol", { class: "errors" });
    const show = () => put(list, ...errors.map((e) => el("li", {},
      el("div", {}, el("strong", {}, e.line ? `Line ${count(e.line)}` : "The file"), e.param ? el("code", {}, clip(e.param, 80)) : null, el("span", {}, e.message)),
      texts.has(e.line) ? el("pre", { tabindex: "0", "aria-label": `Line ${e.line}` }, clip(texts.get(e.line), lineLength)) : null)));
    const numbers = errors.map((e) => e.line).filter(Boolean);
    const fetchLines = async () => {
      button.remove();
      try {
        for (const [n, line] of await linesOf(b.input_file_id, numbers, signal)) texts.set(n, line);
        show();
      } catch (error) {
        if (!signal.aborted) bad.append(notice("note", "The lines themselves cannot be shown: " + error.message));
      }
    };
    const button = el("button", { type: "button", click: fetchLines }, "Show the lines");
    show();
    put(bad, el("h2", { id: "errors-title" }, "What to mend in the file"),
      el("p", {}, "Nothing of it was sent. Mend these lines, and send the file again."), list, numbers.length ? button : null);
    if (numbers.length && (held.has(b.input_file_id) || (file?.bytes ?? Infinity) <= smallFile)) fetchLines();
  }

  const again = poll(look, {
    signal, least: 1500, most: 15_000,
    failed: (error) => put(told, notice("bad", error.message)),
    idle: () => put(told, notice("note", "Nobody was here for two hours: the batch is no longer looked at. ",
      el("button", { type: "button", click: () => { put(told); again(); } }, "Go on"))),
  });
  if (filtered) requests.node.scrollIntoView({ block: "start" });
}

const now = () => Math.floor(Date.now() / 1000);

const endOf = (b) => b.completed_at ?? b.failed_at ?? b.expired_at ?? b.cancelled_at ?? now();

function overall(b, done) {
  const span = endOf(b) - (b.in_progress_at ?? b.created_at);
  return done && span > 0 ? `${rate(done / span)} on average` : null;
}

// speedOf is how many requests end a second, over the last minute or what there is.
function speedOf(samples) {
  const last = samples.at(-1);
  if (!last) return 0;
  const from = samples.findLast((s) => s.at <= last.at - 60) ?? samples[0];
  if (!from || last.at <= from.at) return 0;
  return Math.max(0, (all(last) - all(from)) / (last.at - from.at));
}

const all = (s) => s.completed + s.failed + (s.expired ?? 0) + (s.cancelled ?? 0);

function tile(name, value, more, kind) {
  return el("div", { class: kind ? `k-${kind}` : null }, el("dt", {}, name), el("dd", {}, el("span", { class: "big" }, value), more ? el("span", { class: "soft" }, more) : null));
}

function fact(name, ...value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
}
