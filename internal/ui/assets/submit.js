// A new batch: a file of any size, sent in parts, and the order.

import { el, put, link, address, notice } from "./dom.js";
import { order, Refusal } from "./api.js";
import { upload } from "./upload.js";
import { held } from "./lines.js";
import { bytes, duration } from "./format.js";

const endpoints = ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions", "/v1/moderations", "/v1/images/generations", "/v1/images/edits"];

export function newBatch({ root, signal, readOnly, usage }) {
  if (readOnly) {
    put(root, el("h1", {}, "New batch"), notice("note", "This key is read-only: it cannot send a batch. Sign in with another one."));
    return;
  }
  const told = el("div", { "aria-live": "assertive" });
  const input = el("input", { id: "file", type: "file", accept: ".jsonl,.json,.txt,.gz", "aria-describedby": "file-help file-told" });
  const chosen = el("p", { id: "file-told", class: "soft" });
  const endpoint = el("select", { id: "endpoint" }, ...endpoints.map((e) => el("option", { value: e }, e)));
  const within = el("input", { id: "window", value: "24h", required: true, maxlength: 20, autocomplete: "off", spellcheck: "false", "aria-describedby": "window-help" });
  const name = el("input", { id: "name", maxlength: 200, autocomplete: "off", "aria-describedby": "name-help" });
  const send = el("button", { class: "primary" }, "Send");
  const meter = el("progress", { max: 1, value: 0, "aria-label": "Upload" });
  const how = el("p", { class: "soft" });
  const going = el("div", { hidden: true }, meter, how, el("button", { type: "button", click: () => stop?.abort(new DOMException("Stopped.", "AbortError")) }, "Stop"));
  const drop = el("div", { class: "drop" }, el("label", { for: "file" }, "File of requests"), input,
    el("p", { id: "file-help", class: "soft" }, "JSON Lines: one request a line, with custom_id, method, url and body. Of any size, also as .jsonl.gz. It can be dropped here."), chosen);
  let file = null, stop = null;

  const limits = usage.limits ?? {};
  async function choose(picked) {
    file = picked;
    put(told);
    put(chosen, `${file.name}, ${bytes(file.size)}`);
    if (limits.file_bytes && file.size > limits.file_bytes) put(told, notice("bad", `This deployment takes files of at most ${bytes(limits.file_bytes)}.`));
    const url = await firstURL(file).catch(() => null);
    if (!url || signal.aborted || file !== picked) return;
    const known = endpoints.find((e) => e === url || e === "/v1" + url);
    if (known) endpoint.value = known;
    else {
      endpoint.append(el("option", { value: url }, url));
      endpoint.value = url;
    }
  }

  input.addEventListener("change", () => { if (input.files[0]) choose(input.files[0]); });
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (!stop && event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
  });

  const form = el("form", {
    class: "panel",
    submit: async (event) => {
      event.preventDefault();
      put(told);
      if (!file) {
        put(told, notice("bad", "Choose a file first."));
        input.focus();
        return;
      }
      stop = new AbortController();
      const ending = AbortSignal.any([signal, stop.signal]);
      for (const field of [input, endpoint, within, name, send]) field.disabled = true;
      going.hidden = false;
      let ordered = false, amiss = null;
      const keepOpen = (leaving) => leaving.preventDefault(); // the browser asks before it leaves
      addEventListener("beforeunload", keepOpen);
      try {
        const id = await arrive(file, ending, meter, how);
        put(how, "Making the batch …");
        const body = { input_file_id: id, endpoint: endpoint.value, completion_window: within.value.trim() };
        if (name.value.trim()) body.metadata = { name: name.value.trim() };
        ordered = true;
        const made = await order("batches", { body, signal: ending });
        location.hash = address(["batches", made.id]);
      } catch (error) {
        if (signal.aborted) return;
        const stopped = stop.signal.aborted;
        const unsure = ordered && (stopped || error.passing); // whether the order arrived
        put(told, notice("bad", stopped ? "Stopped." : error.message, " ", unsure
          ? ["The batch may have been ordered: ", link(["batches"], {}, "the list"), " shows it then. Send without a change orders it no second time."]
          : stopped ? "Nothing was ordered." : null));
        if (error instanceof Refusal) amiss = field(error.param);
      } finally {
        removeEventListener("beforeunload", keepOpen);
        stop = null;
        going.hidden = true;
        for (const field of [input, endpoint, within, name, send]) field.disabled = false;
      }
      amiss?.focus(); // which nothing that is disabled takes
    },
  },
  drop,
  el("div", { class: "fields" },
    el("div", {}, el("label", { for: "endpoint" }, "Endpoint"), endpoint, el("p", { class: "soft" }, "Taken from the file's first line.")),
    el("div", {}, el("label", { for: "window" }, "Completion window"), within, el("p", { id: "window-help", class: "soft" }, "From 10s to 7d: 30m, 2h, 24h. What is not done by then expires.")),
    el("div", {}, el("label", { for: "name" }, "Name (optional)"), name, el("p", { id: "name-help", class: "soft" }, "Kept as metadata, to find it again."))),
  told, going, send);

  function field(param) {
    return { completion_window: within, endpoint, input_file_id: input }[param];
  }
  put(root, el("h1", {}, "New batch"), form);
  signal.addEventListener("abort", () => stop?.abort(signal.reason), { once: true });
}

let uploaded = null; // the last file and its id: an order that was refused needs no second upload

async function arrive(file, signal, meter, how) {
  if (uploaded?.file === file) return uploaded.id;
  const began = Date.now();
  const show = (n) => {
    meter.value = file.size ? n / file.size : 1;
    const speed = n / Math.max(Date.now() - began, 1) * 1000;
    put(how, `${bytes(n)} of ${bytes(file.size)}`, speed && n < file.size ? `, ${bytes(Math.round(speed))}/s, about ${duration((file.size - n) / speed)} to go` : "");
  };
  show(0);
  const id = await upload(file, { signal, sent: show });
  uploaded = { file, id };
  held.set(id, file);
  return id;
}

// firstURL is the url of a file's first line.
async function firstURL(file) {
  if (file.name.endsWith(".gz")) return null;
  const text = await file.slice(0, 65_536).text();
  return /"url"\s*:\s*"(\/[\w/.-]{1,100})"/.exec(text.split("\n", 1)[0])?.[1] ?? null;
}
