// Has a Chromium for the tests of the page: none where CHROME_BIN or the PATH leads to one; else it unpacks the one that the
// package @sparticuz/chromium brings, with its libraries and a font; and where that does not start, as on another processor,
// it asks Debian for its own. Arguments: the folder of node_modules, and where to put the browser, as a program "chromium".

import { execFileSync } from "node:child_process";
import { createReadStream, createWriteStream, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";

const [modules, folder] = process.argv.slice(2).map((path) => resolve(path));

if (process.env.CHROME_BIN || onPath("chromium")) process.exit(0);
mkdirSync(folder, { recursive: true });
const program = join(folder, "chromium");
let why = "the package's browser is for x86-64";
if (process.arch === "x64") {
  try {
    await unpack();
    writeFileSync(join(folder, "fonts.conf"), `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>${folder}/fonts</dir>
  <cachedir>${folder}/font-cache</cachedir>
</fontconfig>
`);
    writeFileSync(program, `#!/bin/sh
export LD_LIBRARY_PATH="${folder}/al2023/lib" FONTCONFIG_FILE="${folder}/fonts.conf"
exec "${folder}/chrome" "$@"
`, { mode: 0o755 });
    execFileSync(program, ["--version"], { stdio: "pipe", timeout: 60_000 });
    process.exit(0);
  } catch (error) {
    why = String(error.stderr || error.message).trim();
  }
}
rmSync(program, { force: true });
if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) {
  console.error(`missing: Chromium, for the tests of the page (${why}). Install it (Debian: apt-get install chromium), or set CHROME_BIN.`);
  process.exit(1);
}
console.log("installing Debian's chromium, once");
const quiet = { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
execFileSync("apt-get", ["-qq", "update"], quiet);
execFileSync("apt-get", ["-qq", "-y", "--no-install-recommends", "install", "chromium"], quiet);

function onPath(name) {
  return (process.env.PATH ?? "").split(":").some((part) => part && existsSync(join(part, name)));
}

async function unpack() {
  const { extract } = createRequire(join(modules, "any.js"))("tar-fs");
  const from = join(modules, "@sparticuz/chromium/bin");
  const open = (name) => createReadStream(join(from, name + ".br"));
  await pipeline(open("chromium"), createBrotliDecompress(), createWriteStream(join(folder, "chrome"), { mode: 0o755 }));
  for (const [name, to] of [["al2023", "al2023"], ["fonts", ""], ["swiftshader", ""]]) {
    await pipeline(open(name + ".tar"), createBrotliDecompress(), extract(join(folder, to)));
  }
}
