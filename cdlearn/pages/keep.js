"use strict";
// What lasts: the page's address, with Back and Forward; and names and labels, which the browser keeps for this report.

const state = { terms: [], on: "half", colour: "picture", tab: "", image: null, theme: "" };

// ---- The address. Another image or another tab is a step for Back; everything else changes the step the reader is at.

const narrow = matchMedia("(max-width: 800px)");
const scroller = () => (narrow.matches ? document.scrollingElement : $("panels"));
const stepAt = () => `${state.tab} ${state.image}`;
let step = "", soon = 0;

function remember() { // soon: browsers count how often an address changes
  clearTimeout(soon);
  soon = setTimeout(writeAddress, 150);
}

// Before the reader goes elsewhere: where this step was scrolled to. Between two quick steps nothing is kept.
function leave() {
  if (!soon) history.replaceState({ scroll: scroller().scrollTop }, "");
}

function writeAddress() {
  clearTimeout(soon);
  soon = 0;
  const kept = new URLSearchParams();
  for (const key of ["tab", "colour", "theme"]) if (state[key]) kept.set(key, state[key]);
  if (data.k !== null) kept.set("k", data.k);
  if (state.image !== null) kept.set("image", data.order[state.image]);
  const terms = state.terms.map(({ head, on }) => (on ? "" : "not ") + page.heads[head].number);
  if (terms.length) kept.set("find", terms.join(", "));
  if (state.on !== "half") kept.set("on", state.on);
  const write = step && step !== stepAt() ? "pushState" : "replaceState";
  history[write]({ scroll: scroller().scrollTop }, "", "#" + kept);
  step = stepAt();
}

// What the address says: all of it, or with `place` only tab and image.
function recall(place = false) {
  const kept = new URLSearchParams(location.hash.slice(1)), number = (key) => parseInt(kept.get(key), 10);
  state.image = data.slotOf[number("image")] ?? null;
  state.tab = kept.get("tab") || (place ? "" : state.tab);
  if (place) return { terms: state.terms, k: data.k };
  for (const key of ["theme", "colour", "on"]) state[key] = kept.get(key) || state[key];
  const terms = [...(kept.get("find") || "").matchAll(/(not )?(\d+)/g)]
    .map(([, not, head]) => ({ head: headAt(Number(head)), on: !not })).filter(({ head }) => head >= 0);
  const k = kept.get("k") === "density" && page.density ? "density" : number("k");
  return { terms, k: k === "density" || page.ks.includes(k) ? k : data.k };
}

// ---- What the browser keeps, under the report's own key. Some keep nothing for a file: then it is said once.

const storage = {
  name: (what) => `cdlearn-${page.key}-${what}`,
  read(what) {
    try {
      return (page.key && JSON.parse(localStorage.getItem(this.name(what)))) || {};
    } catch {
      return {};
    }
  },
  write(what, value) {
    if (!page.key) return;
    try {
      localStorage.setItem(this.name(what), JSON.stringify(value));
    } catch {
      if (!this.failed) notice(`This browser keeps no ${what} for this page: save them as a file before you close it.`);
      this.failed = true;
    }
  },
};

// ---- Names of heads and of clusters, in the form of RUN/names.json: {heads: {12: ""}, clusters: {4: {0: ""}}}.
// An empty name is one that was taken away.

const names = { heads: {}, clusters: {} };
const headAt = (number) => page.heads.findIndex((head) => head.number === number);
const headName = (j) => names.heads[page.heads[j].number] || `head ${page.heads[j].number}`;
const clusterName = (cluster) =>
  names.clusters[data.k]?.[cluster] || (cluster < 0 ? "no cluster" : `cluster ${cluster}`);

// Take in names from outside: only numbers with short texts. Returns how many there are.
function takeNames(read) {
  const isObject = (of) => of !== null && typeof of === "object";
  let taken = 0;
  const take = (into, from) => {
    for (const [number, name] of Object.entries(isObject(from) ? from : {})) {
      if (!/^\d+$/.test(number) || typeof name !== "string") continue;
      into[number] = name.trim().slice(0, 60);
      taken++;
    }
  };
  if (!isObject(read)) return 0;
  take(names.heads, read.heads);
  for (const [k, of] of Object.entries(isObject(read.clusters) ? read.clusters : {})) {
    if (/^\d+$|^density$/.test(k)) take((names.clusters[k] ??= {}), of);
  }
  return taken;
}

function keepNames() {
  storage.write("names", names);
  showNames();
}

function namesFile() {
  const named = (of) => Object.fromEntries(Object.entries(of).filter(([, name]) => name));
  const clusters = Object.entries(names.clusters).map(([k, of]) => [k, named(of)])
    .filter(([, of]) => Object.keys(of).length);
  return JSON.stringify({ heads: named(names.heads), clusters: Object.fromEntries(clusters) }, null, 1) + "\n";
}

async function readNames(event) {
  let taken = 0;
  try {
    taken = takeNames(JSON.parse(await event.target.files[0].text()));
  } catch { /* said below */ }
  if (taken) keepNames();
  const wrong = "That file holds no names: a names.json saved by this page is expected.";
  notice(taken ? `${count(taken, "name")} read` : wrong);
  event.target.value = "";
}

// Buttons to save and read names, beside heads and clusters.
function nameFiles() {
  const file = make("input", { type: "file", className: "names-file", accept: ".json,application/json", hidden: true,
    "aria-label": "File of names", onchange: readNames });
  return [row(button("Save names", () => save("names.json", namesFile(), "application/json")),
    button("Read names", () => file.click()), file),
    hint("This browser keeps the names. Saved as names.json in the run's folder, the table of images has them, too.")];
}

// ---- Labels: a number 1..9 per image, 0 for none.

const labels = { of: null, names: {} };
const labelName = (number) => labels.names[number] || String(number);

function startKept() {
  takeNames(page.names);
  takeNames(storage.read("names"));
  labels.of = new Uint8Array(page.n);
  const read = storage.read("labels");
  for (const [file, number] of Object.entries(read.of || {})) {
    if (data.slotOf[file] !== undefined && number >= 1 && number <= 9) labels.of[data.slotOf[file]] = number;
  }
  for (const [number, name] of Object.entries(read.names || {})) labels.names[number] = String(name);
}

function keepLabels() {
  const of = {};
  labels.of.forEach((number, slot) => number && (of[data.order[slot]] = number));
  storage.write("labels", { names: labels.names, of });
}
