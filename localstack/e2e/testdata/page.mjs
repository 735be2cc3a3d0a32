// Drives the status page in a real browser, as a person would: arguments are a JSON object of the folder of node_modules, the
// browser, the page's address, a key, the folder of the files to send, and where to put the pictures. It ends well only if
// everything was as it should be.

import assert from "node:assert/strict";
import { readFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const { modules, browser: program, page: address, key, reader, files, pictures } = JSON.parse(process.argv[2]);
const load = createRequire(join(modules, "page.js"));
const { chromium } = load("playwright-core");
const axe = readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");
const patience = 200_000; // milliseconds: the machine may be busy
const hostile = JSON.parse(readFileSync(join(files, "hostile.json"), "utf8"));

mkdirSync(pictures, { recursive: true });
const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox", "--disable-gpu"], timeout: patience });
const wrong = []; // what the browser complains of
const hosts = new Set(), objects = new Set(); // that were asked, and those that keep files

async function open(options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.on("console", (m) => { if (["error", "warning"].includes(m.type())) wrong.push(`${m.type()}: ${m.text()} (${m.location().url})`); });
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("dialog", (dialog) => { wrong.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (r) => hosts.add(new URL(r.url()).host));
  return page;
}

async function step(name, f) {
  const began = Date.now();
  try {
    await f();
  } catch (error) {
    await page.screenshot({ path: join(pictures, "failed.png"), fullPage: true, timeout: 20_000 }).catch(() => {});
    console.error(`${name}: the browser said ${JSON.stringify(wrong)}`);
    throw error;
  }
  console.log(`${((Date.now() - began) / 1000).toFixed(1)} s  ${name}`);
}

const page = await open();
const at = (label) => page.getByLabel(label, { exact: true });
const press = (name) => page.getByRole("button", { name }).click();
const heading = (name) => page.getByRole("heading", { name, exact: true }).waitFor();
const ended = (status) => page.locator(".title .status", { hasText: status }).waitFor();

async function fill(file, name) {
  await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: "New batch" }).click();
  await heading("New batch");
  await at("File of requests").setInputFiles(join(files, file));
  await at("Completion window").fill("1h");
  await at("Name (optional)").fill(name);
}

async function send(file, name) {
  await fill(file, name);
  await press("Send");
  await page.waitForURL(/#\/batches\/batch_/);
}

await step("a key that is none is refused", async () => {
  await page.goto(address);
  assert.ok(page.url().endsWith("/v1/ui/"), `the address became ${page.url()}`);
  await at("API key").fill("sk-wrong");
  await page.keyboard.press("Enter");
  await page.getByText("This key is not known here").waitFor();
  wrong.splice(0); // the browser reports the 401
  assert.equal(await page.evaluate(() => sessionStorage.length + localStorage.length), 0);
});

await step("sign in by keyboard", async () => {
  await at("API key").fill(key);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await heading("Batches");
  assert.equal(await page.locator(".who .tag").count(), 0, "the key may only look");
  assert.deepEqual(await page.evaluate((k) => [sessionStorage.getItem("musketry.key") === k, localStorage.length, document.cookie], key), [true, 0, ""]);
  assert.ok(!page.url().includes(key) && !(await page.content()).includes(key), "the key is in the page");
});

const said = (status, message) => ({ status, json: { error: { message, type: "invalid_request_error", code: null, param: null } } });

await step("a key that ended while nobody looked leads to the sign-in, and a server's failure to both ways", async () => {
  const usage = /\/v1\/usage$/;
  await page.route(usage, (route) => route.fulfill(said(503, "Out of order.")));
  await page.reload();
  await page.getByRole("alert").getByText("Out of order.").waitFor();
  await page.getByRole("button", { name: "Try again" }).waitFor();
  await press("Sign out");
  await heading("Sign in");
  await page.unroute(usage);
  await at("API key").fill(key);
  await page.keyboard.press("Enter");
  await heading("Batches");
  await page.route(usage, (route) => route.fulfill(said(401, "It ended.")));
  await page.reload();
  await heading("Sign in");
  await page.getByRole("alert").getByText("Signed out: It ended.").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.unroute(usage);
  await at("API key").fill(key);
  await page.keyboard.press("Enter");
  await heading("Batches");
  wrong.splice(0); // the browser reports the 503 and the 401
});

await step("an order that was stopped on its way is made once", async () => {
  await fill("bad.jsonl", "bad file");
  let arrived;
  const first = new Promise((resolve) => { arrived = resolve; });
  await page.route(/\/v1\/batches$/, async (route) => {
    const made = await (await route.fetch()).json();
    arrived({ id: made.id, key: route.request().headers()["idempotency-key"] }); // and no answer
  }, { times: 1 });
  await press("Send");
  const { id, key: orders } = await first;
  assert.match(orders, /^[0-9a-f]{32}$/);
  await press("Stop");
  await page.getByText("Stopped. The batch may have been ordered").waitFor();
  const asked = page.waitForRequest((r) => r.method() === "POST" && r.url().endsWith("/v1/batches"));
  await press("Send");
  assert.equal((await asked).headers()["idempotency-key"], orders);
  await page.waitForURL(/#\/batches\/batch_/);
  assert.ok(page.url().endsWith(id), "it was ordered twice");
});

await step("a bad file's errors stand at their lines", async () => {
  await ended("Failed");
  await atLines();
  // Another tab has not the file: it is read in as many pieces as the server makes of it.
  let pieces = 0;
  await page.route(/\/v1\/files\/[^/]+\/content$/, async (route) => {
    const from = Number(/^bytes=(\d+)-$/.exec(route.request().headers().range)[1]);
    pieces++;
    await route.fulfill({ response: await route.fetch({ headers: { ...route.request().headers(), range: `bytes=${from}-${from + 99}` } }) });
  });
  await page.reload();
  await atLines();
  await page.unrouteAll();
  assert.ok(pieces > 1, `${pieces} pieces`);
});

async function atLines() {
  const errors = page.locator(".errors > li");
  await errors.first().locator("pre").waitFor();
  const lines = readFileSync(join(files, "bad.jsonl"), "utf8").split("\n");
  assert.equal(await errors.count(), 2);
  for (const [i, n] of [[0, 2], [1, 4]]) {
    assert.equal(await errors.nth(i).locator("strong").textContent(), `Line ${n}`);
    assert.equal(await errors.nth(i).locator("pre").textContent(), lines[n - 1]);
  }
}

let batch;
await step("submit, and watch to the end", async () => {
  await send("good.jsonl", hostile.name);
  batch = page.url();
  await ended("Completed");
  await page.getByText("Done", { exact: true }).waitFor();
  assert.match(await page.locator(".tiles").textContent(), /Done60 of 60100 %Completed57Failed3/);
  await heading("Timeline");
  await page.getByRole("img", { name: /Over its whole life/ }).waitFor();
  await page.locator(".reasons li").first().waitFor();
  assert.equal(await page.locator(".facts").getByText(hostile.name).count(), 1, "the name is shown as it is");
});

await step("search a failed request, and read its story", async () => {
  await page.locator("#request-status").selectOption("failed");
  await page.waitForURL(/status=failed/);
  await page.waitForFunction(() => document.querySelectorAll(".requests tbody tr").length === 3);
  await page.locator("#request-search").fill("refused-1");
  await page.keyboard.press("Enter");
  await page.waitForURL(/search=refused-1/);
  await page.waitForFunction(() => document.querySelectorAll(".requests tbody tr").length === 1);
  await page.getByRole("link", { name: "refused-1", exact: true }).click();
  await heading("refused-1");
  await page.locator(".timeline").getByText("Failed", { exact: true }).waitFor();
  await page.locator(".answer").waitFor();
  assert.match(await page.locator("details pre").textContent(), /"status_code": 400/);
  assert.match(await page.locator("#line-title + pre").textContent(), /"custom_id": "refused-1"/);
});

await step("what failed, by its reason", async () => {
  await page.goto(batch);
  await page.locator(".reasons").getByRole("link", { name: "http_400" }).click();
  await page.waitForURL(/reason=http_400/);
  await page.waitForFunction(() => document.querySelectorAll(".requests tbody tr").length === 3);
  await page.getByRole("button", { name: "Drop the filter by reason" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".requests tbody tr").length > 3);
  await page.route(/\/progress$/, async (route) => {
    const response = await route.fetch();
    const told = await response.json();
    told.failures.push({ reason: "other", requests: 1 });
    await route.fulfill({ response, json: told });
  });
  await page.reload();
  await page.locator(".reasons li", { hasText: "other" }).waitFor();
  assert.equal(await page.locator(".reasons a").count(), 1, "the rest, which has no list, leads to one");
  await page.unrouteAll();
});

await step("a filter costs reads when somebody asks, and not at each look", async () => {
  const id = new URL(batch).hash.split("/").at(-1);
  let looks = 0, reads = 0;
  await page.route((url) => url.pathname.endsWith(`/v1/batches/${id}`), async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...await response.json(), status: "in_progress", metadata: { look: String(++looks) } } });
  });
  await page.route((url) => url.pathname.endsWith(`/${id}/requests`), async (route) => { reads++; await route.continue(); });
  await page.goto(`${batch}?status=failed`);
  await page.waitForFunction(() => document.querySelectorAll(".requests tbody tr").length === 3);
  await page.locator(".facts").getByText("3", { exact: true }).waitFor(); // the third look
  assert.equal(reads, 1);
  const asked = page.waitForResponse((r) => r.url().includes(`/${id}/requests`));
  await press("Look again");
  await asked;
  assert.equal(reads, 2);
  await page.goto(new URL("#/new", address).href); // so that nobody looks on
  await heading("New batch");
  await page.unrouteAll({ behavior: "ignoreErrors" });
});

await step("hostile names and answers are text", async () => {
  await page.goto(batch);
  for (const id of hostile.ids) {
    await page.locator("#request-search").fill(id.search);
    await page.keyboard.press("Enter");
    const link = page.locator(".requests tbody a", { hasText: id.shown });
    await link.waitFor();
    assert.equal(await link.textContent(), id.shown);
    if (!id.story) continue;
    await link.click();
    await page.locator(".answer", { hasText: id.story }).waitFor();
    assert.equal(await page.locator("main img, main script, main iframe, main b").count(), 0);
    await page.goto(batch);
  }
  assert.equal(await page.evaluate(() => globalThis.harm), undefined, "a name was run");
});

await step("download", async () => {
  await page.goto(batch);
  const waits = page.waitForEvent("download");
  await press("Download answers");
  const got = await waits;
  objects.add(new URL(got.url()).host);
  const saved = readFileSync(await got.path(), "utf8").trimEnd().split("\n").map((l) => JSON.parse(l));
  assert.equal(saved.length, 57);
});

await step("retry what failed", async () => {
  const asked = page.waitForRequest(/\/retry$/);
  await press("Retry 3 requests");
  assert.match((await asked).headers()["idempotency-key"], /^[0-9a-f]{32}$/);
  await page.waitForURL((url) => url.href !== batch && /#\/batches\/batch_[^/?]+$/.test(url.hash));
  await page.getByText("Retry of").waitFor();
  await ended("Completed");
});

await step("a file in parts, and cancel", async () => {
  await send("large.jsonl", "in parts");
  await page.getByRole("button", { name: "Cancel batch" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel batch" }).click();
  await ended("Cancelled");
});

await step("filters of the list", async () => {
  await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: "Batches" }).click();
  await heading("Batches");
  await at("Search").fill("bad file");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => {
    const rows = [...document.querySelectorAll(".batches tbody tr")];
    return rows.length > 0 && rows.every((r) => r.textContent.includes("bad file"));
  });
  await at("Status").selectOption("completed");
  await page.getByText("No batch is like that.").waitFor();
  // A batch that the filter's first page has no more is not of the list.
  let looks = 0;
  await page.route((url) => url.searchParams.get("status") === "in_progress", async (route) => {
    const all = new URL(route.request().url());
    all.search = "?limit=1";
    const response = await route.fetch({ url: all.href });
    const told = await response.json();
    await route.fulfill({ response, json: { ...told, has_more: false, ...(looks++ ? { data: [], last_id: null } : {}) } });
  });
  await page.goto(new URL("#/batches?status=in_progress", address).href);
  await page.locator(".batches tbody tr").first().waitFor();
  await page.getByText("No batch is like that.").waitFor();
  assert.equal(await page.locator(".batches tbody tr").count(), 0);
  await page.goto(new URL("#/batches", address).href);
  await page.unrouteAll({ behavior: "ignoreErrors" });
});

// The views in all forms: none scrolls sideways or has a serious problem, and each is kept as a picture.
const views = { batches: ["#/batches", ".batches tbody a"], batch: ["", ".requests tbody a"], new: ["#/new", "#endpoint"] };
await step("pictures, and axe", async () => {
  await page.goto(batch);
  const request = await page.locator(".requests tbody a", { hasText: "refused-1" }).first().getAttribute("href");
  views.request = [request, ".answer"];
  for (const colorScheme of ["light", "dark"]) {
    for (const [size, viewport] of [["desk", { width: 1280, height: 900 }], ["phone", { width: 360, height: 740 }]]) {
      const other = await open({ viewport, colorScheme, reducedMotion: "reduce" });
      await other.goto(address);
      await look(other, `signin-${size}-${colorScheme}`);
      await other.getByLabel("API key", { exact: true }).fill(key);
      await other.keyboard.press("Enter");
      await other.locator(".batches tbody a").first().waitFor();
      for (const [name, [hash, ready]] of Object.entries(views)) {
        await other.goto(hash ? new URL(hash, address).href : batch);
        await other.locator(ready).first().waitFor();
        await look(other, `${name}-${size}-${colorScheme}`);
      }
      await other.context().close();
    }
  }
});

async function look(other, name) {
  await other.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  assert.ok(await other.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} scrolls sideways`);
  await other.evaluate(axe);
  const { violations } = await other.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), [], `${name} has serious problems`);
}

await step("sign out", async () => {
  await press("Sign out");
  await heading("Sign in");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

await step("a read-only key looks on", async () => {
  await at("API key").fill(reader);
  await page.keyboard.press("Enter");
  await page.locator(".key", { hasText: "looks on" }).getByText("read-only").waitFor();
  await page.goto(batch);
  assert.ok(await page.getByRole("button", { name: "Retry 3 requests" }).isDisabled());
  const waits = page.waitForEvent("download");
  await press("Download failures");
  assert.equal(readFileSync(await (await waits).path(), "utf8").trimEnd().split("\n").length, 3);
});

assert.deepEqual(wrong, [], "the browser complained");
hosts.delete(new URL(address).host);
assert.deepEqual([...hosts].filter((h) => !objects.has(h)), [], "others than the API and where files are kept were asked");
await browser.close();
