// Uploads: a small file in one call, a larger one in parts that go side by side. No more of it is in memory than is on its way.

import { json, insist, pause, Refusal } from "./api.js";

const single = 3_500_000; // bytes that go in one call
const part = 4_000_000; // bytes; one call of the API carries 4.5 MB
const together = 4;
const partTime = 180_000; // milliseconds

// upload sends a file for batches and returns its id. sent(bytes) tells how much has arrived.
export async function upload(file, { signal, sent }) {
  if (file.size <= single) {
    const made = await insist(() => {
      const form = new FormData();
      form.append("purpose", "batch");
      form.append("file", file, file.name);
      return json("POST", "files", { body: form, signal, within: partTime });
    }, signal);
    sent(file.size);
    return made.id;
  }
  const order = { filename: file.name, purpose: "batch", bytes: file.size, mime_type: file.name.endsWith(".gz") ? "application/gzip" : "application/jsonl" };
  const made = await insist(() => json("POST", "uploads", { body: order, signal }), signal);
  const path = `uploads/${encodeURIComponent(made.id)}`;
  try {
    const ids = await parts(file, path, signal, sent);
    return await complete(path, ids, signal);
  } catch (error) {
    // It would expire within an hour; so its place is free at once.
    json("POST", `${path}/cancel`).catch(() => {});
    throw error;
  }
}

async function parts(file, path, signal, sent) {
  const starts = Array.from({ length: Math.ceil(file.size / part) }, (_, i) => i * part);
  const ids = new Array(starts.length);
  const stop = new AbortController();
  const within = AbortSignal.any([signal, stop.signal]);
  let next = 0, arrived = 0;
  const lane = async () => {
    while (next < starts.length) {
      const i = next++;
      const piece = file.slice(starts[i], starts[i] + part);
      const made = await insist(() => {
        const form = new FormData();
        form.append("data", piece, "part");
        return json("POST", `${path}/parts`, { body: form, signal: within, within: partTime });
      }, within, 6);
      ids[i] = made.id;
      sent(arrived += piece.size);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(together, starts.length) }, lane));
  } catch (error) {
    stop.abort(error);
    throw error;
  }
  return ids;
}

// complete joins the parts. That of a large file takes longer than one call may: the same call again waits on.
async function complete(path, ids, signal) {
  const until = Date.now() + 10 * 60_000;
  for (;;) {
    try {
      const done = await json("POST", `${path}/complete`, { body: { part_ids: ids }, signal, within: 60_000 });
      return done.file.id;
    } catch (error) {
      if (!(error instanceof Refusal) || !error.passing || Date.now() > until) throw error;
      await pause(Math.max(error.again, 1) * 1000, signal);
    }
  }
}
