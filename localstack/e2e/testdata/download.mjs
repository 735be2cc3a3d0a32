// Downloads a file with an unchanged openai SDK, whole and as a stream, and compares its hash. Arguments: the folder of
// node_modules, the SDK's name in it, the file's id and its SHA-256.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, name, id, want] = process.argv.slice(2);
const { OpenAI } = createRequire(join(modules, "sdk.js"))(name);
const client = new OpenAI();

const whole = Buffer.from(await (await client.files.content(id)).arrayBuffer());
assert.equal(createHash("sha256").update(whole).digest("hex"), want, `${whole.length} bytes of another file`);
assert.equal((await client.files.retrieve(id)).bytes, whole.length);

const digest = createHash("sha256");
for await (const piece of (await client.files.content(id)).body) digest.update(piece);
assert.equal(digest.digest("hex"), want, "the streamed file is another");
