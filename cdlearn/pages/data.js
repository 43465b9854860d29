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
const data = {}; // x, y in 0..1 · order: file number per slot, slotOf: the reverse · files · tones: mean colours …

async function unpack() {
  page = await readRecord("record");
  const given = async (name) => (page.arrays[name] ? numbers(name) : null);
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
  data.rest = new Uint32Array(page.n); // places of all others, counted along the map
  for (let slot = 1; slot < page.n; slot++) data.rest[slot] = data.rest[slot - 1] + !data.picture.has(slot - 1);
  for (const name of ["labels", "answers", "neighbours", "width", "height", "bytes", "new"]) {
    data[name] = await given(name);
  }
  await useClusters(page.k ?? (page.density && "density"));
}

// Take the clusters for a k, or "density" for HDBSCAN's. `data.clusters` holds them as they are in the page. Returns
// false where the reader asked for others before these were read.
let askedK = null;
async function useClusters(k) {
  askedK = k;
  const clusters = k === null ? null : await numbers(k === "density" ? k : "clusters" + k);
  if (askedK !== k) return false;
  Object.assign(data, { k, clusters });
  return true;
}
const clusterOf = (slot) => data.clusters[slot] - (data.k === "density"); // -1: in none
const clusterCount = () => (data.k === "density" ? page.density.count : data.k);
const medoids = () => (data.k === "density" ? page.density.medoids : page.medoids[data.k]) || [];

const fileOf = (slot) => data.files[data.order[slot]];
const slotsWhere = (holds) => Array.from(data.x.keys()).filter(holds);
const inFileOrder = (slots) => Array.from(slots).sort((a, b) => data.order[a] - data.order[b]);

// [width, height] of an image whose longer side is `side` px; square where its size is not known.
function fitted(slot, side) {
  const wide = data.width?.[slot], high = data.height?.[slot];
  if (!wide || !high) return [side, side];
  const shorter = Math.max(1, Math.round((side * Math.min(wide, high)) / Math.max(wide, high)));
  return wide > high ? [side, shorter] : [shorter, side];
}

function neighboursOf(slot) {
  const near = [];
  for (let column = 0; data.neighbours && column < page.arrays.neighbours.columns; column++) {
    const away = signed(data.neighbours[column * page.n + slot]);
    if (away) near.push(slot + away);
  }
  return near;
}

const shades = () => page.arrays.answers.shades;
const output = (head, slot) => data.answers[head * page.n + slot] / (shades() - 1);

// The fraction of images whose output is below this one's (ties count half).
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
