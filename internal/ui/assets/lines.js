// The lines of a file that has errors, found without having the file in memory.

import { send } from "./api.js";

// held are files that this tab has uploaded, by the id that they got: their lines need no download.
export const held = new Map();

export const shown = 600; // characters of a line
const most = 100_000_000; // bytes that are read to find lines

// linesOf returns the texts of these lines of a file, numbers from 1, as far as they are found.
export async function linesOf(fileID, numbers, signal) {
  const stream = await open(fileID, signal);
  const wanted = new Set(numbers), last = Math.max(...numbers), found = new Map();
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let number = 1, line = "", read = 0;
  try {
    while (number <= last && read < most) {
      const { done, value } = await reader.read();
      if (done) break;
      read += value.length;
      for (let at = 0; at < value.length && number <= last;) {
        const end = value.indexOf("\n", at);
        const piece = end < 0 ? value.slice(at) : value.slice(at, end);
        if (wanted.has(number) && line.length <= shown) line += piece.slice(0, shown + 1 - line.length);
        if (end < 0) break;
        if (wanted.has(number)) found.set(number, line);
        line = "";
        number++;
        at = end + 1;
      }
    }
    if (wanted.has(number) && line) found.set(number, line);
  } finally {
    await reader.cancel().catch(() => {});
  }
  return found;
}

async function open(fileID, signal) {
  const file = held.get(fileID);
  if (file) {
    const stream = file.stream();
    return file.name.endsWith(".gz") ? stream.pipeThrough(new DecompressionStream("gzip")) : stream;
  }
  const response = await send("GET", `files/${encodeURIComponent(fileID)}/content`, { signal, within: 120_000 });
  return response.body;
}
