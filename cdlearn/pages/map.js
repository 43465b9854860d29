"use strict";
// The map: every image at its place, drawn in tiles that are kept while the reader drags.
// Far away an image is a spot of its mean colour and some stand for the rest; nearer, each is its thumbnail.

const TILE = 256; // CSS px
const LARGEST = 96; // CSS px of a thumbnail, however near
const REPRESENTATIVE = 26; // CSS px
const SLICE = 8; // ms per frame for drawing tiles, so that dragging stays smooth
const DIMMED = 0.12;

const surface = $("map"), overlay = $("overlay");
const pen = surface.getContext("2d", { alpha: false }), marks = overlay.getContext("2d");
const view = { x: 0.5, y: 0.5, scale: 1 }; // the middle of the map shown, and CSS px per width of the map
let width = 1, height = 1, dpr = 1;
let selection = null; // {slots, has: Uint8Array, says}
let hovered = -1;
let front = null, still = null, base = null; // tiles at this scale · the picture before them · the whole map, coarse
let waiting = false, zoomedAt = 0;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const toScreen = (x, y) => [(x - view.x) * view.scale + width / 2, (y - view.y) * view.scale + height / 2];
const where = (slot) => toScreen(data.x[slot], data.y[slot]);
const toMap = (px, py) => [(px - width / 2) / view.scale + view.x, (py - height / 2) / view.scale + view.y];

// A grid over the map: the images in each square, found in one step.
const grid = { across: 1, start: null, slots: null, thumbnail: 0.1 };
function prepareMap() {
  const n = page.n, across = (grid.across = Math.max(1, Math.min(256, Math.round(Math.sqrt(n / 4)))));
  const square = new Uint32Array(n), start = (grid.start = new Uint32Array(across * across + 1));
  const along = (v) => Math.min(across - 1, Math.floor(v * across));
  for (let i = 0; i < n; i++) start[(square[i] = along(data.y[i]) * across + along(data.x[i])) + 1]++;
  const used = start.reduce((sum, count) => sum + (count > 0), 0);
  for (let s = 0; s < across * across; s++) start[s + 1] += start[s];
  grid.slots = new Uint32Array(n);
  const next = start.slice();
  for (let i = 0; i < n; i++) grid.slots[next[square[i]]++] = i;
  // A little wider than images could stand side by side on the part of the map that is in use.
  grid.thumbnail = Math.min(0.12, 1.3 * Math.sqrt(used / (across * across) / n));
}

function* around(x0, y0, x1, y1) { // the images in a rectangle of the map, in an order that never changes
  const clamp = (v) => Math.max(0, Math.min(grid.across - 1, Math.floor(v * grid.across)));
  for (let row = clamp(y0); row <= clamp(y1); row++) {
    const first = grid.start[row * grid.across + clamp(x0)], last = grid.start[row * grid.across + clamp(x1) + 1];
    for (let at = first; at < last; at++) yield grid.slots[at];
  }
}

// Thumbnails at this scale, or spots where they would be too many to draw.
const sideAt = (scale) => Math.min(LARGEST, Math.max(2, grid.thumbnail * scale));
const asSpots = (scale) => sideAt(scale) < Math.max(10, Math.sqrt((width * height) / 8000)) && page.n > 600;

function newTiles() {
  if (front) keepStill();
  const { scale } = view, spots = asSpots(scale), chosen = spots ? spread(scale) : [];
  front = { scale, spots, chosen, side: sideAt(scale), tiles: new Map(), asked: new Set() };
}

// In the far view, one image per square of the screen, so that none covers another: representatives, which have pages
// of their own, or the images of a small selection.
function spread(scale) {
  const cell = REPRESENTATIVE + 4, squares = new Map(), few = selection && selection.slots.length <= 3000;
  const atlas = few || !page.overview.length ? "map" : "overview";
  const from = few ? selection.slots : page.overview.length ? page.overview : data.x.keys();
  let at = 0;
  for (const slot of from) {
    const place = atlas === "map" ? slot : at++;
    if (selection && !selection.has[slot]) continue;
    const x = data.x[slot] * scale, y = data.y[slot] * scale, column = Math.floor(x / cell), row = Math.floor(y / cell);
    const key = column + "," + row;
    if (!squares.has(key)) squares.set(key, { slot, place, atlas, x: column * cell + 2, y: row * cell + 2 });
  }
  return [...squares.values()];
}

function drawTile(set, column, row, before) {
  const span = TILE / set.scale, x0 = column * span, y0 = row * span, margin = LARGEST / set.scale;
  const sharp = Math.round(TILE * dpr), canvas = make("canvas", { width: sharp, height: sharp });
  const context = canvas.getContext("2d");
  const tile = { canvas, missing: new Set(), stale: false };
  if (x0 > 1 + margin || y0 > 1 + margin || x0 + span < -margin || y0 + span < -margin) return tile;
  context.imageSmoothingQuality = "high";
  const again = before && set.spots; // what was there stays: its page may have left the cache
  if (again) context.drawImage(before.canvas, 0, 0);
  else if (set.spots) drawSpots(set, context, x0, y0, span, sharp);
  context.scale(dpr, dpr);
  const show = (slot, atlas, place, x, y, side) => {
    if (x <= -side || y <= -side || x >= TILE || y >= TILE) return;
    const part = partFor(atlas, side * dpr), [number] = cellOf(atlas, place), colour = colourOf(slot);
    const edge = colour ? Math.max(1, Math.min(4, side * 0.09)) : 0;
    const bitmap = pageNow(atlas, number, part), key = `${atlas}-${number}/${part}`;
    if (again && !before.missing.has(key)) return;
    if (!bitmap) tile.missing.add(key);
    if (!bitmap && again) return;
    if (colour) {
      context.fillStyle = colour;
      context.fillRect(x, y, side, side);
    }
    if (bitmap) return drawCell(context, [atlas, place], slot, bitmap, x + edge, y + edge, side - 2 * edge);
    context.fillStyle = `rgb(${data.tones[slot]} ${data.tones[page.n + slot]} ${data.tones[2 * page.n + slot]})`;
    context.fillRect(x + edge, y + edge, side - 2 * edge, side - 2 * edge);
  };
  if (set.spots) {
    for (const { slot, place, atlas, x, y } of set.chosen) {
      show(slot, atlas, place, x - column * TILE, y - row * TILE, REPRESENTATIVE);
    }
  } else {
    const few = selection && selection.slots.length <= 300; // they are drawn large enough to be seen
    const sides = [set.side, few ? Math.max(set.side, REPRESENTATIVE) : set.side], reach = sides[1] / 2 / set.scale;
    const inside = [...around(x0 - reach, y0 - reach, x0 + span + reach, y0 + span + reach)];
    for (const chosen of selection ? [0, 1] : [1]) {
      context.globalAlpha = chosen ? 1 : DIMMED;
      for (const slot of inside) {
        if (selection && selection.has[slot] !== chosen) continue;
        const x = (data.x[slot] - x0) * set.scale, y = (data.y[slot] - y0) * set.scale, side = sides[chosen];
        show(slot, "map", slot, x - side / 2, y - side / 2, side);
      }
    }
  }
  fetchMissing(set, tile);
  return tile;
}

// Pages that a tile lacks. Each is asked for once per set of tiles, so that a full cache cannot go round in circles.
function fetchMissing(set, tile) {
  for (const key of tile.missing) {
    if (set.asked.has(key)) continue;
    set.asked.add(key);
    const [, atlas, number, part] = key.match(/(\w+)-(\d+)\/(.+)/);
    pageSoon(atlas, Number(number), Number(part)).then(() => {
      for (const other of set.tiles.values()) if (other.missing.has(key)) other.stale = true;
      redraw();
    });
  }
}

function drawSpots(set, context, x0, y0, span, sharp) {
  const picture = context.createImageData(sharp, sharp), pixels = new Uint32Array(picture.data.buffer);
  const side = Math.max(2, Math.round(set.side * dpr * 0.8)), reach = side / dpr / set.scale, perMap = set.scale * dpr;
  const inside = [...around(x0 - reach, y0 - reach, x0 + span + reach, y0 + span + reach)];
  for (const chosen of selection ? [0, 1] : [1]) {
    for (const slot of inside) {
      if (selection && selection.has[slot] !== chosen) continue;
      const colour = chosen ? paint.spot[slot] : (paint.spot[slot] & 0xffffff) | (0x26 << 24);
      const left = Math.round((data.x[slot] - x0) * perMap - side / 2), from = Math.max(0, left);
      const top = Math.round((data.y[slot] - y0) * perMap - side / 2), to = Math.min(sharp, left + side);
      if (to <= from) continue;
      for (let y = Math.max(0, top); y < Math.min(sharp, top + side); y++) {
        pixels.fill(colour, y * sharp + from, y * sharp + to);
      }
    }
  }
  context.putImageData(picture, 0, 0);
}

// The whole map, coarse: seen for a moment where no tile is ready.
function drawBase() {
  const side = 768, canvas = make("canvas", { width: side, height: side });
  const kept = dpr;
  dpr = 1;
  drawSpots({ scale: side, side: Math.max(2, grid.thumbnail * side) }, canvas.getContext("2d"), 0, 0, 1, side);
  dpr = kept;
  base = canvas;
}

function keepStill() { // what is on the screen now, to stretch while new tiles are made
  const canvas = make("canvas", { width: surface.width, height: surface.height });
  canvas.getContext("2d").drawImage(surface, 0, 0);
  still = { canvas, ...view };
}

function redraw() {
  if (waiting || !base) return;
  waiting = true;
  requestAnimationFrame(frame);
}

const theme = {}; // colours of the page that the map needs: ground, accent, ink
function frame() {
  waiting = false;
  const began = performance.now(), zooming = front.scale !== view.scale;
  if (zooming && began - zoomedAt > 110) newTiles();
  const settled = front.scale === view.scale;
  pen.setTransform(dpr, 0, 0, dpr, 0, 0);
  pen.fillStyle = theme.ground;
  const left = view.x * view.scale - width / 2, top = view.y * view.scale - height / 2; // of the screen, on the map
  let late = !settled;
  if (!settled) {
    pen.fillRect(0, 0, width, height);
    stretch();
  } else {
    const wanted = [];
    for (let row = Math.floor(top / TILE); row * TILE < top + height; row++) {
      for (let column = Math.floor(left / TILE); column * TILE < left + width; column++) wanted.push([column, row]);
    }
    const away = ([column, row]) =>
      Math.hypot((column + 0.5) * TILE - left - width / 2, (row + 0.5) * TILE - top - height / 2);
    wanted.sort((a, b) => away(a) - away(b));
    for (const [column, row] of wanted) {
      const key = column + "," + row, whole = (v) => Math.round(v * dpr) / dpr;
      const x = whole(column * TILE - left), y = whole(row * TILE - top);
      let tile = front.tiles.get(key);
      if (!tile || tile.stale) {
        if (performance.now() - began < SLICE) tile = drawTile(front, column, row, tile);
        else late = true;
      }
      front.tiles.delete(key); // and in again at the end: the first are those not seen for longest
      if (tile) front.tiles.set(key, tile);
      pen.save();
      pen.beginPath();
      pen.rect(x, y, TILE, TILE);
      pen.clip();
      pen.fillRect(x, y, TILE, TILE);
      if (tile) pen.drawImage(tile.canvas, x, y, TILE, TILE);
      else stretch();
      pen.restore();
    }
    for (const key of front.tiles.keys()) {
      if (front.tiles.size <= wanted.length * 2 + 12) break;
      front.tiles.delete(key);
    }
  }
  drawMarks();
  if (late) redraw();
  else if (settled) still = null;
}

function stretch() { // the coarse map, and over it what was on the screen before
  const place = (canvas, x, y, scale, across, down) => {
    const f = view.scale / scale, [left, top] = toScreen(x, y);
    pen.drawImage(canvas, left - (across / 2) * f, top - (down / 2) * f, across * f, down * f);
  };
  place(base, 0.5, 0.5, 1, 1, 1);
  if (still) place(still.canvas, still.x, still.y, still.scale, width, height);
}
