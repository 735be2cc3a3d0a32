// Shows a batch on the status page in a browser, and takes pictures of it: the argument is a JSON object of the folder of
// node_modules, the browser, the page's address, a key, a batch's id, and where to put the pictures.

import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const { modules, browser: program, page: address, key, batch, pictures } = JSON.parse(process.argv[2]);
const { chromium } = createRequire(join(resolve(modules), "pictures.js"))("playwright-core");
const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox", "--disable-gpu"] });

for (const [name, colorScheme, viewport] of [["page", "light", { width: 1280, height: 860 }], ["phone", "dark", { width: 360, height: 740 }]]) {
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(address);
  await page.getByLabel("API key", { exact: true }).fill(key);
  await page.keyboard.press("Enter");
  await page.locator(".batches tbody a").first().waitFor();
  await page.goto(new URL(`#/batches/${batch}`, address).href);
  await page.locator(".requests tbody a").first().waitFor();
  await page.getByRole("img", { name: /Over its whole life/ }).waitFor();
  await page.screenshot({ path: join(pictures, `${name}.png`) });
  await context.close();
}
await browser.close();
