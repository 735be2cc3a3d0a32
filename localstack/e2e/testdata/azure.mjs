// Runs a batch with the unchanged AzureOpenAI client, of bytes that nobody names. Arguments: the folder of node_modules, the
// SDK's name in it, the endpoint, the key.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [modules, name, endpoint, apiKey] = process.argv.slice(2);
const { AzureOpenAI, toFile } = createRequire(join(modules, "sdk.js"))(name);
delete process.env.OPENAI_BASE_URL; // it excludes an endpoint
const client = new AzureOpenAI({ endpoint, apiKey, apiVersion: "2024-10-21" });

const row = (i) => ({
  custom_id: `id-${i}`,
  method: "POST",
  url: "/chat/completions",
  body: { model: "standin", messages: [{ role: "user", content: `Say something about ${i}.` }] },
});
const data = Buffer.from([0, 1].map((i) => JSON.stringify(row(i)) + "\n").join(""));
const file = await client.files.create({ file: await toFile(data), purpose: "batch" });
let batch = await client.batches.create({ input_file_id: file.id, endpoint: "/chat/completions", completion_window: "24h" });
const until = Date.now() + 180_000;
while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
  assert(Date.now() < until, `${batch.id} is still ${batch.status}`);
  await sleep(500);
  batch = await client.batches.retrieve(batch.id);
}
assert.equal(batch.status, "completed");
assert.equal(batch.request_counts.completed, 2);
const output = await (await client.files.content(batch.output_file_id)).text();
assert.deepEqual(output.trimEnd().split("\n").map((line) => JSON.parse(line).custom_id), ["id-0", "id-1"]);
