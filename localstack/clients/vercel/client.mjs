// Runs a batch with the Vercel AI SDK. Arguments: the case and the model. NODE_MODULES is the folder that has it.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const [kind, model] = process.argv.slice(2);
const resolve = createRequire(join(process.env.NODE_MODULES, "client.js")).resolve;
const load = async (name) => import(pathToFileURL(resolve(name)));
const ai = await load("ai");
const provider = (await load("@ai-sdk/openai")).createOpenAI(); // Reads OPENAI_BASE_URL and OPENAI_API_KEY.

const ids = ["id-0", "id-1", "id-2"];
const batch = await ai.experimental_startBatch({
  provider,
  requests: ids.map((id) => ({ id, type: "text", model, prompt: `Say something about ${id}.` })),
});
if (kind === "list") {
  const { batches } = await ai.experimental_listBatches({ provider, limit: 100 });
  assert(batches.some((b) => b.id === batch.id || b.batch?.id === batch.id), JSON.stringify(batches[0]));
}

async function reach(...wanted) {
  const until = Date.now() + 300_000;
  for (;;) {
    const status = await ai.experimental_getBatchStatus({ provider, batch });
    if (wanted.includes(status.rawStatus)) return;
    assert(Date.now() < until && status.status === "pending", `it is ${status.rawStatus}`);
    await sleep(500);
  }
}
if (kind === "cancel") {
  await reach("in_progress");
  await ai.experimental_cancelBatch({ provider, batch });
}
await reach(kind === "cancel" ? "cancelled" : "completed");

const items = [];
for await (const item of ai.experimental_getBatchResults({ provider, batch })) items.push(item);
assert.deepEqual(items.map((item) => item.id), ids);
for (const item of items) {
  if (kind === "cancel") assert.equal(item.status, "cancelled");
  else if (kind === "failing") assert(item.status === "failed" && item.error.message && item.error.statusCode === 400, JSON.stringify(item));
  else assert(item.status === "succeeded" && item.text && item.usage.inputTokens > 0, JSON.stringify(item));
}
