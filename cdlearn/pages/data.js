"use strict";
// What the page knows: its record, arrays and pictures, unpacked from blocks of text in this file. Nothing is fetched.

const $ = (id) => document.getElementById(id);

// A new element. Names of files come in through `append`, which makes text of them, never markup.
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function" || (node[name] ?? null) !== null) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child || child === 0)); // so "condition && element" may stand there
  return node;
}

function decode(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

async function inflate(id) {
  const block = $("block-" + id), bytes = decode(block.textContent);
  block.remove(); // the text is not needed twice
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const readRecord = async (id) => JSON.parse(new TextDecoder().decode(await inflate(id)));

// Numbers as `pack.numbers` wrote them: all lowest bytes first, then all second ones, and so on.
async function readNumbers(id) {
  const bytes = await inflate(id), width = page.arrays[id] ? page.arrays[id].width : 1;
  if (width === 1) return bytes;
  const n = bytes.length / width, values = width === 2 ? new Uint16Array(n) : new Uint32Array(n);
  for (let plane = 0; plane < width; plane++) {
    for (let i = 0; i < n; i++) values[i] += bytes[plane * n + i] * 256 ** plane;
  }
  return values;
}

const signed = (z) => (z >>> 1) ^ -(z & 1); // undoes `pack.zigzag`

// Arrays that are read when first asked for. Images are counted along the map ("slots").
const asked = new Map();
const numbers = (id) => asked.get(id) || asked.set(id, readNumbers(id)).get(id);

let page; // the record
const data = {}; // x, y in 0..1 · order: file number per slot, slotOf: the reverse · files · tones: mean colours

async function unpack() {
  page = await readRecord("record");
  const [x, y, order, files, tones] = await Promise.all([
    numbers("x"), numbers("y"), numbers("order"), readRecord("files"), numbers("tones"),
  ]);
  const sums = (steps) => {
    const at = new Float32Array(steps.length);
    for (let i = 0, sum = 0; i < steps.length; i++) at[i] = (sum += signed(steps[i])) / 65535;
    return at;
  };
  Object.assign(data, { x: sums(x), y: sums(y), order, files, tones, slotOf: new Uint32Array(order.length) });
  order.forEach((file, slot) => (data.slotOf[file] = slot));
  data.picture = new Map(page.pictured.map((slot, place) => [slot, place]));
  data.labels = page.labelled ? await numbers("labels") : null;
  data.answers = page.heads.length ? await numbers("answers") : null;
  data.neighbours = page.arrays.neighbours ? await numbers("neighbours") : null;
  await useClusters(page.k);
}

async function useClusters(k) {
  data.k = k;
  data.clusters = k === null ? null : await numbers("clusters" + k);
}

const fileOf = (slot) => data.files[data.order[slot]];

function neighboursOf(slot) {
  const near = [];
  for (let column = 0; data.neighbours && column < page.arrays.neighbours.columns; column++) {
    const away = signed(data.neighbours[column * page.n + slot]);
    if (away) near.push(slot + away);
  }
  return near;
}

const shades = () => page.arrays.answers.shades;
const answer = (head, slot) => data.answers[head * page.n + slot] / (shades() - 1);

// The share of images that answer less than this one (ties count half).
const ranks = new Map();
function rank(head, slot) {
  if (!ranks.has(head)) {
    const count = new Uint32Array(shades()), below = new Float32Array(shades());
    for (let i = head * page.n; i < (head + 1) * page.n; i++) count[data.answers[i]]++;
    for (let level = 0, sum = 0; level < count.length; sum += count[level++]) {
      below[level] = (sum + count[level] / 2) / page.n;
    }
    ranks.set(head, below);
  }
  return ranks.get(head)[data.answers[head * page.n + slot]];
}

// Decoded pages of pictures. Only those in use are kept: the ones not asked for longest leave when `room` is full.
const pages = new Map(), coming = new Map();
const room = (Math.min(screen.width, screen.height) < 700 ? 64 : 160) * 2 ** 20;
let held = 0;

// A page at a whole, a half or a quarter of its size (`part`): from the cache, or undefined.
function pageNow(atlas, number, part) {
  const key = `${atlas}-${number}/${part}`, bitmap = pages.get(key);
  if (bitmap) { pages.delete(key); pages.set(key, bitmap); }
  return bitmap;
}

// The same as a promise, decoded away from the main thread.
function pageSoon(atlas, number, part) {
  const key = `${atlas}-${number}/${part}`, now = pageNow(atlas, number, part);
  if (now) return Promise.resolve(now);
  if (!coming.has(key)) {
    coming.set(key, decodePage($(`${atlas}-${number}`).textContent, part).then((bitmap) => {
      coming.delete(key);
      pages.set(key, bitmap);
      held += bitmap.width * bitmap.height * 4;
      for (const [old, of] of pages) {
        if (held <= room || old === key) break;
        pages.delete(old);
        held -= of.width * of.height * 4;
        of.close();
      }
      return bitmap;
    }));
  }
  return coming.get(key);
}

async function decodePage(text, part) {
  const blob = new Blob([decode(text)], { type: "image/jpeg" });
  const whole = await createImageBitmap(blob);
  if (part === 1) return Object.assign(whole, { part });
  const resizeWidth = Math.ceil(whole.width * part), resizeHeight = Math.ceil(whole.height * part);
  const small = await createImageBitmap(whole, { resizeWidth, resizeHeight, resizeQuality: "medium" });
  small.part = small.width / whole.width; // not every browser resizes
  whole.close();
  return small;
}

// Where a picture lies: [page, column, row]; and the part of full size at which `side` px still look sharp.
function cellOf(atlas, place) {
  const { across } = page[atlas + "Atlas"], on = place % (across * across);
  return [Math.floor(place / (across * across)), on % across, Math.floor(on / across)];
}
function partFor(atlas, side) {
  const { cell } = page[atlas + "Atlas"];
  return side <= cell / 4 ? 0.25 : side <= cell / 2 ? 0.5 : 1;
}

// Draw a cell of a decoded page.
function drawCell(context, atlas, bitmap, column, row, x, y, side) {
  const c = page[atlas + "Atlas"].cell * bitmap.part;
  context.drawImage(bitmap, column * c, row * c, c, c, x, y, side, side);
}

// A canvas that shows an image once it is scrolled near.
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    const slot = Number(target.dataset.slot), pictured = data.picture.has(slot);
    const atlas = pictured ? "picture" : "map";
    const [number, column, row] = cellOf(atlas, pictured ? data.picture.get(slot) : slot);
    const part = partFor(atlas, target.width);
    pageSoon(atlas, number, part).then((bitmap) => {
      const context = target.getContext("2d");
      context.imageSmoothingQuality = "high";
      drawCell(context, atlas, bitmap, column, row, 0, 0, target.width);
    });
  }
}, { rootMargin: "300px" });

function thumb(slot, side) {
  const sharp = Math.round(side * Math.min(2, devicePixelRatio));
  const canvas = make("canvas", { width: sharp, height: sharp, className: "thumb", "aria-hidden": "true" });
  canvas.style.width = canvas.style.height = side + "px";
  canvas.dataset.slot = slot;
  seen.observe(canvas);
  return canvas;
}

// Names that the reader gave to heads live in the page's address, with everything else worth keeping.
const state = { names: new Map(), terms: [], on: "half", colour: "picture", tab: "", image: null, theme: "" };

const headName = (j) => state.names.get(page.heads[j].number) || `head ${page.heads[j].number}`;
const headAt = (number) => page.heads.findIndex((head) => head.number === number);

function remember() { // soon: browsers count how often an address changes
  clearTimeout(remember.later);
  remember.later = setTimeout(writeAddress, 150);
}

function writeAddress() {
  const kept = new URLSearchParams();
  for (const key of ["tab", "colour", "theme"]) if (state[key]) kept.set(key, state[key]);
  if (data.k !== null) kept.set("k", data.k);
  if (state.image !== null) kept.set("image", data.order[state.image]);
  const terms = state.terms.map(({ head, on }) => (on ? "" : "not ") + page.heads[head].number);
  if (terms.length) kept.set("find", terms.join(", "));
  if (state.on !== "half") kept.set("on", state.on);
  for (const [number, name] of state.names) kept.set("head" + number, name);
  history.replaceState(null, "", "#" + kept);
}

async function recall() {
  const kept = new URLSearchParams(location.hash.slice(1)), number = (key) => parseInt(kept.get(key), 10);
  state.names.clear();
  for (const [key, name] of kept) {
    if (/^head\d+$/.test(key) && name) state.names.set(Number(key.slice(4)), name.slice(0, 60));
  }
  for (const key of ["tab", "theme", "colour", "on"]) state[key] = kept.get(key) || state[key];
  state.image = data.slotOf[number("image")] ?? null;
  state.terms = [...(kept.get("find") || "").matchAll(/(not )?(\d+)/g)]
    .map(([, not, head]) => ({ head: headAt(Number(head)), on: !not })).filter(({ head }) => head >= 0);
  if (page.ks.includes(number("k"))) await useClusters(number("k"));
}
