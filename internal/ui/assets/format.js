// How numbers, times and durations are written.

const numbers = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const count = (n) => numbers.format(n);

// many is a number with its noun.
export const many = (n, one, more = one + "s") => `${count(n)} ${n === 1 ? one : more}`;

export function bytes(n) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (n >= size) return `${(n / size).toFixed(n < 10 * size ? 1 : 0)} ${unit}`;
  }
  return `${n} B`;
}

// duration is of seconds, in its two largest units.
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => s >= size);
  if (first < 0) return "0 s";
  const [unit, size] = units[first];
  const rest = s % size;
  const [unit2, size2] = units[first + 1] ?? ["", 1];
  const more = unit2 && Math.floor(rest / size2);
  return `${Math.floor(s / size)} ${unit}` + (more ? ` ${more} ${unit2}` : "");
}

// time is of seconds since 1970, in the browser's own zone.
export const time = (seconds) => clock.format(new Date(seconds * 1000));

// ago says how long ago that was, at now in milliseconds.
export function ago(seconds, now = Date.now()) {
  const past = now / 1000 - seconds;
  return past < 5 ? "just now" : `${roughly(past)} ago`;
}

export function inOrAgo(seconds, now = Date.now()) {
  const left = seconds - now / 1000;
  return left > 0 ? `in ${duration(left)}` : ago(seconds, now);
}

const roughly = (seconds) => duration(seconds).split(" ").slice(0, 2).join(" ");

// rate is of requests a second, in a unit in which it is readable.
export function rate(perSecond) {
  if (!perSecond) return "0/s";
  if (perSecond >= 1) return `${perSecond >= 100 ? count(Math.round(perSecond)) : fixed(perSecond)}/s`;
  if (perSecond * 60 >= 1) return `${fixed(perSecond * 60)}/min`;
  return `${fixed(perSecond * 3600)}/h`;
}

const fixed = (n) => n.toFixed(1).replace(/\.0$/, "");

const words = {
  validating: "Validating", in_progress: "In progress", finalizing: "Finalizing", completed: "Completed", failed: "Failed",
  expired: "Expired", cancelling: "Cancelling", cancelled: "Cancelled", pending: "Waiting",
};

// word is a status as a person reads it.
export const word = (status) => words[status] ?? String(status);

export const ended = (status) => ["completed", "failed", "expired", "cancelled"].includes(status);

// clip bounds what is shown of a text, in characters.
export function clip(text, most) {
  return text.length <= most ? text : text.slice(0, most) + "…";
}

// plain is a name with what is not seen in it, or turns the text around, made visible: two names that differ look different.
export function plain(name, most) {
  return clip(String(name), most).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`) || "(empty)";
}
