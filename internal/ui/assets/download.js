// Downloads: by a link that anyone may follow for 60 s, since a link carries no key.

import { el } from "./dom.js";
import { optional, send } from "./api.js";

const most = 100_000_000; // bytes of a download without a link, which goes through the page's memory

// download is a button that has the browser save a file.
export function download(file, label, told) {
  const button = el("button", {
    type: "button",
    click: async () => {
      button.disabled = true;
      told();
      try {
        await save(file);
      } catch (error) {
        told(error.message);
      }
      button.disabled = false;
    },
  }, label);
  return button;
}

async function save(file) {
  const path = `files/${encodeURIComponent(file)}`;
  const answer = await linkTo(path);
  if (answer) {
    follow(new URL(answer.url, document.baseURI));
    return;
  }
  // A server without links.
  const about = await (await send("GET", path)).json();
  if (about.bytes > most) throw new Error("This server gives no links, and the file is too large for the page. Use musketry results -o FILE.");
  const blob = await (await send("GET", `${path}/content`, { within: 600_000 })).blob();
  const url = URL.createObjectURL(blob);
  follow(url, about.filename);
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// linkTo asks for a link: null from a server that makes none.
async function linkTo(path) {
  try {
    return await optional("POST", `${path}/link`);
  } catch (error) {
    if (error.code === "links_unavailable") return null;
    throw error;
  }
}

// follow has the browser go to an address that answers with a file.
function follow(url, name) {
  if (!["https:", "http:", "blob:"].includes(new URL(url).protocol)) throw new Error("The server's link is none that can be followed.");
  const a = el("a", { href: url, download: name ?? true, rel: "noreferrer" });
  document.body.append(a);
  a.click();
  a.remove();
}
