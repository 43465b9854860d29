"use strict";
// Small pieces that every panel is made of, and ways to tell, copy and save.

const count = (n, of = "image") => `${n.toLocaleString("en")} ${of}${n === 1 ? "" : "s"}`;
const percent = (part) => (part > 0 && part < 0.01 ? "< 1 %" : `${Math.round(part * 100)} %`);
const digits = (value) => (typeof value === "number" ? value.toFixed(2).replace("-", "−") : "–");
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const ofBytes = (n) =>
  n >= 1e6 ? `${(n / 1e6).toFixed(1)} MB` : n >= 1e3 ? `${Math.round(n / 1e3)} kB` : `${n} bytes`;
const wellFormed = (text) => text.replace(/[\ud800-\udfff]/gu, "\ufffd"); // as a file can hold it: no half characters
const say = (text) => ($("live").textContent = text);

const button = (text, act, more = {}) => make("button", { type: "button", onclick: act, ...more }, text);
const hint = (...text) => make("p", { className: "hint" }, ...text);
const row = (...children) => make("div", { className: "row" }, ...children);
const card = (properties, ...children) => make("article", { className: "card", ...properties }, ...children);
const fill = (key, ...children) => $("panel-" + key).replaceChildren(...make("div", {}, ...children).childNodes);
const headLink = (j) => make("a", { href: "#", "data-head": j }, headName(j));
const clusterLink = (cluster) => make("a", { href: "#", "data-cluster": cluster }, clusterName(cluster));

function swatch(css) {
  const mark = make("i", { className: "swatch" });
  mark.style.background = css;
  return mark;
}

// ---- An image in words

const className = (slot) => page.classes[data.labels[slot]] ?? `class ${data.labels[slot]}`;
const colouredHead = () => (state.colour.startsWith("head") ? headAt(Number(state.colour.slice(4))) : -1);
function sizeOf(slot) {
  const said = [];
  if (data.width?.[slot]) said.push(`${data.width[slot]} × ${data.height[slot]} px`);
  if (data.bytes?.[slot]) said.push(ofBytes(data.bytes[slot]));
  return said.join(" · ");
}
function facts(slot) {
  const said = [], head = colouredHead();
  if (labels.of[slot]) said.push(`label ${labelName(labels.of[slot])}`);
  if (data.labels) said.push(className(slot));
  if (data.k !== null) said.push(clusterName(clusterOf(slot)));
  if (head >= 0) said.push(`${headName(head)}: ${digits(output(head, slot))}`);
  if (data.new?.[slot]) said.push("new");
  return said.join(" · ");
}
const describe = (slot) => [fileOf(slot), facts(slot)].filter(Boolean).join(", ");

// ---- Telling, copying, saving

function notice(text) { // for a moment, and aloud
  say(text);
  const note = make("div", { className: "toast", "aria-hidden": "true" }, text);
  document.querySelectorAll(".toast").forEach((old) => old.remove());
  document.body.append(note);
  setTimeout(() => note.remove(), 1500 + 40 * text.length);
}

function save(name, text, type = "text/plain") {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // an old way, for browsers that keep the clipboard from files
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  notice(`Copied ${what}`);
}

// Rows of cells -> CSV, and back.
const csvCell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
const toCsv = (rows) => rows.map((cells) => cells.map(csvCell).join(",") + "\r\n").join("");
function fromCsv(text) {
  const rows = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|\n|\r|$)/g)) {
    rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ",") rows.push([]);
  }
  return rows.filter((cells) => cells.length > 1 || cells[0]);
}
