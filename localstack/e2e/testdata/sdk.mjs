// Drives the deployed API with an unchanged openai SDK through all that a user does with a batch, and uploads the file in
// each way that Node knows. Arguments: the folder of node_modules, and the SDK's name in it.

import assert from "node:assert/strict";
import { Blob, File } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [modules, name] = process.argv.slice(2);
const sdk = createRequire(join(modules, "sdk.js"))(name);
const { OpenAI, toFile } = sdk;

const client = new OpenAI();
const part = 4 * 1024 * 1024; // Bytes: what one request to the API can carry.
const models = { quick: "standin", flaky: "standin:status=503x1", refused: "standin:status=400" };

const requests = [];
for (let i = 0; i < 3; i++) {
  for (const [kind, model] of Object.entries(models)) {
    requests.push({
      custom_id: `${kind}-${i}`,
      method: "POST",
      url: "/v1/chat/completions",
      body: { model, messages: [{ role: "user", content: `Say something about ${kind} ${i}.` }] },
    });
  }
}
const jsonl = (rows) => rows.map((row) => JSON.stringify(row) + "\n").join("");
const data = jsonl(requests);

async function wait(id, seconds = 180) {
  const until = Date.now() + seconds * 1000;
  for (;;) {
    const batch = await client.batches.retrieve(id);
    if (["completed", "failed", "expired", "cancelled"].includes(batch.status)) return batch;
    assert(Date.now() < until, `${id} is still ${batch.status} after ${seconds} s`);
    await sleep(500);
  }
}

async function refused(kind, call) {
  let told;
  await assert.rejects(call, (error) => {
    told = error;
    return error instanceof kind;
  });
  assert(told.requestID, "an error without x-request-id");
  assert(told.error?.message && told.type, `an error outside the envelope: ${told}`);
  return told;
}

const read = async (id) => (await client.files.content(id)).text();
const rows = async (id) => (await read(id)).trimEnd().split("\n").map((line) => JSON.parse(line));

// The three ways of Node: the first two tell their length, the stream comes in chunks.
async function uploads(folder) {
  const path = join(folder, "stream.jsonl");
  await writeFile(path, data);
  const made = [];
  for (const [filename, file] of [
    ["blob.jsonl", await toFile(new Blob([data]), "blob.jsonl")],
    ["file.jsonl", new File([data], "file.jsonl", { type: "application/jsonl" })],
    ["stream.jsonl", createReadStream(path)],
  ]) {
    const got = await client.files.create({ file, purpose: "batch" });
    assert.deepEqual([got.filename, got.bytes, got.purpose], [filename, data.length, "batch"]);
    assert.equal(await read(got.id), data);
    made.push(got.id);
  }
  const expiring = await client.files.create({
    file: await toFile(Buffer.from(data), "expiring.jsonl"),
    purpose: "batch",
    expires_after: { anchor: "created_at", seconds: 3600 },
  });
  assert.equal(expiring.expires_at - expiring.created_at, 3600);
  return [...made, expiring.id];
}

async function run(file) {
  const made = await client.batches.create({
    input_file_id: file,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
    metadata: { client: name },
  });
  assert.equal(made.status, "validating");
  assert.equal(made.expires_at - made.created_at, 24 * 3600);
  const batch = await wait(made.id);
  assert.equal(batch.status, "completed");
  assert.deepEqual(batch.metadata, { client: name });
  const { total, completed, failed } = batch.request_counts;
  assert.deepEqual([total, completed, failed], [9, 6, 3]);
  const [output, errors] = [await rows(batch.output_file_id), await rows(batch.error_file_id)];
  const ids = (wrong) => requests.map((r) => r.custom_id).filter((id) => id.startsWith("refused") === wrong);
  assert.deepEqual(output.map((o) => o.custom_id), ids(false));
  assert.deepEqual(errors.map((e) => e.custom_id), ids(true));
  assert(output.every((o) => o.response.status_code === 200 && o.response.body.choices[0].message.content));
  assert(errors.every((e) => e.response.status_code === 400));
  return batch;
}

// An iteration over pages of one repeats and misses nothing, whatever others make at the same time.
async function listed(pages, last) {
  const ids = [];
  for await (const item of pages) {
    ids.push(item.id);
    if (item.id === last) break;
    assert(ids.length < 2000, `${last} does not come`);
  }
  assert.equal(ids.at(-1), last);
  assert.equal(new Set(ids).size, ids.length);
  return ids;
}

async function pages(files, batches) {
  const rising = await listed(client.files.list({ limit: 1, order: "asc", after: files[0] }), files.at(-1));
  assert.deepEqual(rising.filter((id) => files.includes(id)), files.slice(1));
  const falling = await listed(client.files.list({ limit: 1, purpose: "batch", after: files.at(-1) }), files[0]);
  assert.deepEqual(falling.filter((id) => files.includes(id)), files.slice(0, -1).reverse());
  await listed(client.batches.list({ limit: 1, after: batches.at(-1) }), batches[0]);
}

async function inParts() {
  const content = Buffer.from(jsonl(Array.from({ length: 4 }, (_, i) => ({
    custom_id: `long-${i}`,
    method: "POST",
    url: "/v1/chat/completions",
    body: { model: "standin", messages: [{ role: "user", content: "word ".repeat(300_000) }] },
  }))));
  assert(content.length > part);
  const upload = await client.uploads.create({
    bytes: content.length, filename: "parts.jsonl", mime_type: "application/jsonl", purpose: "batch",
  });
  const ids = [];
  for (let at = 0; at < content.length; at += part) {
    const data = await toFile(content.subarray(at, at + part), "part");
    ids.push((await client.uploads.parts.create(upload.id, { data })).id);
  }
  const md5 = createHash("md5").update(content).digest("hex");
  const done = await client.uploads.complete(upload.id, { part_ids: ids, md5 });
  assert.equal(done.status, "completed");
  assert.equal(await read(done.file.id), content.toString());
  await client.files.delete(done.file.id);

  const dropped = await client.uploads.create({
    bytes: 1, filename: "parts.jsonl", mime_type: "application/jsonl", purpose: "batch",
  });
  assert.equal((await client.uploads.cancel(dropped.id)).status, "cancelled");
}

async function errors(file, ended) {
  await refused(sdk.ConflictError, client.batches.cancel(ended));
  await refused(sdk.NotFoundError, client.batches.retrieve("batch_00000000000000000000000000"));
  await refused(sdk.NotFoundError, client.files.retrieve("file-00000000000000000000000000"));
  await refused(sdk.NotFoundError, client.files.content("file-00000000000000000000000000"));
  await refused(sdk.AuthenticationError, client.withOptions({ apiKey: "sk-wrong" }).batches.list());
  const order = { input_file_id: file, endpoint: "/v1/chat/completions", completion_window: "9s" };
  const bad = await refused(sdk.BadRequestError, client.batches.create(order));
  assert.equal(bad.param, "completion_window");
  const empty = await toFile(new Blob([]), "empty.jsonl");
  await refused(sdk.BadRequestError, client.files.create({ file: empty, purpose: "batch" }));
}

const folder = await mkdtemp(join(tmpdir(), "musketry-"));
try {
  const files = await uploads(folder);
  const batch = await run(files[2]);

  // A request that is never answered keeps its batch from ending before it is cancelled.
  const hanging = jsonl([{ ...requests[0], body: { ...requests[0].body, model: "standin:hang" } }]);
  const open = await client.files.create({ file: await toFile(Buffer.from(hanging), "hanging.jsonl"), purpose: "batch" });
  const order = { input_file_id: open.id, endpoint: "/v1/chat/completions", completion_window: "1h" };
  const key = { headers: { "Idempotency-Key": randomUUID() } };
  const second = await client.batches.create(order, key);
  assert.equal((await client.batches.create(order, key)).id, second.id);
  await refused(sdk.ConflictError, client.batches.create({ ...order, completion_window: "2h" }, key));
  assert(["cancelling", "cancelled"].includes((await client.batches.cancel(second.id)).status));
  assert.equal((await wait(second.id, 60)).status, "cancelled");

  await pages(files, [batch.id, second.id]);
  await inParts();
  await errors(files[0], batch.id);
  for (const id of [batch.output_file_id, batch.error_file_id, open.id, ...files]) {
    assert.equal((await client.files.delete(id)).deleted, true);
    await refused(sdk.NotFoundError, client.files.retrieve(id));
  }
  console.log(`${name}: ${files.length} uploads, 6 answers and 3 errors in the order of the input`);
} finally {
  await rm(folder, { recursive: true });
}
