// The lines of a file that has errors, found without having the file in memory.

import { Refusal, send } from "./api.js";

// held are files that this tab has uploaded, by the id that they got: their lines need no download.
export const held = new Map();

export const shown = 600; // characters of a line
const most = 100_000_000; // bytes that are read to find lines

// linesOf returns the texts of these lines of a file, numbers from 1, as far as they are found.
export async function linesOf(fileID, numbers, signal) {
  const wanted = new Set(numbers), last = Math.max(...numbers), found = new Map();
  const decoder = new TextDecoder();
  let number = 1, line = "", read = 0;
  for await (const piece of bytesOf(fileID, signal)) {
    const value = decoder.decode(piece, { stream: true });
    for (let at = 0; at < value.length && number <= last;) {
      const end = value.indexOf("\n", at);
      const part = end < 0 ? value.slice(at) : value.slice(at, end);
      if (wanted.has(number) && line.length <= shown) line += part.slice(0, shown + 1 - line.length);
      if (end < 0) break;
      if (wanted.has(number)) found.set(number, line);
      line = "";
      number++;
      at = end + 1;
    }
    read += piece.length;
    if (number > last || read >= most) break;
  }
  if (wanted.has(number) && line) found.set(number, line);
  return found;
}

// bytesOf gives a file's bytes piece by piece. One answer carries a few megabytes: what lies behind is asked for next.
async function* bytesOf(fileID, signal) {
  const file = held.get(fileID);
  if (file) {
    const stream = file.stream();
    yield* piecesOf(file.name.endsWith(".gz") ? stream.pipeThrough(new DecompressionStream("gzip")) : stream);
    return;
  }
  for (let at = 0, size = Infinity; at < size;) {
    const response = await send("GET", `files/${encodeURIComponent(fileID)}/content`, { headers: { range: `bytes=${at}-` }, signal, within: 120_000 });
    size = Number(response.headers.get("content-range")?.split("/")[1]) || 0; // 0: the answer is the whole file
    const before = at;
    for await (const piece of piecesOf(response.body)) {
      at += piece.length;
      yield piece;
    }
    if (at === before) throw new Refusal("The server's answer broke off.");
  }
}

async function* piecesOf(stream) {
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    await reader.cancel().catch(() => {});
  }
}
