// Signing in: a key, kept for this tab.

import { el, put } from "./dom.js";

export function signIn(root, enter) {
  const told = el("div", { "aria-live": "assertive" });
  const field = el("input", {
    id: "key", type: "password", name: "key", autocomplete: "off", autocapitalize: "off", spellcheck: "false", required: true,
    "aria-describedby": "key-help",
  });
  const button = el("button", { class: "primary" }, "Sign in");
  put(root, el("section", { class: "signin panel" },
    el("h1", {}, "Sign in"),
    el("form", {
      submit: async (event) => {
        event.preventDefault();
        const text = field.value.trim();
        put(told);
        if (!/^[\x21-\x7e]+$/.test(text)) {
          put(told, el("p", { class: "notice bad" }, "A key has letters, digits and signs only, and no spaces."));
          field.focus();
          return;
        }
        button.disabled = true;
        try {
          await enter(text);
        } catch (error) {
          put(told, el("p", { class: "notice bad" }, error.message));
          button.disabled = false;
          field.select();
          field.focus();
        }
      },
    },
    el("label", { for: "key" }, "API key"), field,
    el("p", { id: "key-help", class: "soft" },
      "The key stays in this tab until you sign out or close it, and is sent to this server only. A read-only key is enough to look. Sign out on a shared computer: a browser may open a closed tab again."),
    told, button)));
  field.focus();
}
