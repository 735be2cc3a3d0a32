// Elements are made here and nowhere else. What others wrote (names, custom_ids, answers, errors) becomes text nodes and
// attribute values, never markup: nothing on the page uses innerHTML, and the page's policy would not let it.

const svgNames = "http://www.w3.org/2000/svg";

// el makes an element. An attribute whose value is a function listens to the event of that name; false, null and undefined
// leave an attribute or a child out; true sets an empty attribute.
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// svg does the same for drawings.
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(svgNames, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  put(node, ...children);
  return node;
}

// put makes children the only ones of a node.
export function put(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((c) => c !== false && c !== null && c !== undefined).map(asNode));
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

// link is an anchor to another view of the page. Parts of its address are escaped.
export function link(parts, query, ...children) {
  return el("a", { href: address(parts, query) }, ...children);
}

// address is that of a view: its path's parts, and what its filters say.
export function address(parts, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value);
  const search = pairs.length ? "?" + new URLSearchParams(pairs) : "";
  return "#/" + parts.map(encodeURIComponent).join("/") + search;
}

// Rows keeps the children of a node in step with a list, and leaves those alone that are there already: who has the focus
// keeps it. make(item) returns { node, update(item) }.
export class Rows {
  constructor(parent, keyOf, make) {
    Object.assign(this, { parent, keyOf, make, known: new Map() });
  }

  show(items) {
    const next = new Map();
    for (const item of items) {
      const key = this.keyOf(item);
      const row = this.known.get(key) ?? this.make(item);
      row.update(item);
      next.set(key, row);
    }
    for (const [key, row] of this.known) if (!next.has(key)) row.node.remove();
    let at = this.parent.firstChild;
    for (const { node } of next.values()) {
      if (node === at) at = at.nextSibling;
      else this.parent.insertBefore(node, at);
    }
    this.known = next;
  }
}

// say tells those who hear the page what they do not see change.
export function say(text) {
  document.getElementById("say").textContent = text;
}

// notice is a message that stands where it belongs.
export function notice(kind, ...children) {
  return el("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : null }, ...children);
}

// copy is a button that puts a text on the clipboard.
export function copy(text, label) {
  const button = el("button", {
    type: "button", class: "quiet small", "aria-label": label,
    click: async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not allowed here";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    },
  }, "Copy");
  return button;
}

// ask has the user confirm what cannot be undone. It resolves to whether they did.
export function ask(question, detail, act) {
  return new Promise((resolve) => {
    const dialog = el("dialog", { "aria-labelledby": "question" },
      el("h2", { id: "question" }, question), el("p", {}, detail),
      el("div", { class: "actions" },
        el("button", { type: "button", click: () => dialog.close("no") }, "Back"),
        el("button", { type: "button", class: "danger", click: () => dialog.close("yes") }, act)));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
