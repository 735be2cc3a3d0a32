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
let length = 0;
const response = await client.files.content(id);
for await (const piece of response.body) {
  digest.update(piece);
  length += piece.length;
}
const sum = digest.digest();
assert.equal(sum.toString("hex"), want, "the streamed file is another");
assert.equal(response.headers.get("x-musketry-content-length"), String(length));
assert.equal(response.headers.get("repr-digest"), `sha-256=:${sum.toString("base64")}:`);
