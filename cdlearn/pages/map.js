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

const toScreen = (slot) => [(data.x[slot] - view.x) * view.scale + width / 2, (data.y[slot] - view.y) * view.scale + height / 2];
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

// Colours. Twelve hues in turn light, middle and dark, so that numbers next to each other differ in grey, too.
const PALETTE = ["#3366cc", "#f0b429", "#8a3b12", "#5cc4e8", "#0b6e4f", "#e86fa3", "#5b2a86", "#a3cf62", "#d1492e", "#8f9bb3",
  "#1f3a5f", "#e9c9a1", "#7a8b1e", "#b58be0", "#4a4a4a", "#f58b5e", "#128a8a", "#f4e285", "#8c1c4b", "#9ad1c1"];
const RAMP = ["#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838"]; // dark to light: told apart in grey, too
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
function ramp(t) {
  const at = Math.min(RAMP.length - 1.001, t * (RAMP.length - 1)), from = rgb(RAMP[Math.floor(at)]), to = rgb(RAMP[Math.floor(at) + 1]);
  return "#" + from.map((v, c) => Math.round(v + (to[c] - v) * (at % 1)).toString(16).padStart(2, "0")).join("");
}
const paint = { css: [], of: null, spot: null }; // a colour per number, a number per image, and what is drawn far away
function usePaint() {
  const n = page.n, head = state.colour.startsWith("head") ? headAt(Number(state.colour.slice(4))) : -1;
  paint.of = null;
  if (state.colour === "cluster" && data.clusters) [paint.of, paint.css] = [data.clusters, PALETTE];
  else if (state.colour === "class" && data.labels) [paint.of, paint.css] = [data.labels, PALETTE];
  else if (head >= 0) {
    // By rank: answers of a head often crowd into a narrow range.
    paint.of = Uint8Array.from({ length: n }, (_, i) => rank(head, i) * 63);
    paint.css = Array.from({ length: 64 }, (_, i) => ramp(i / 63));
  } else state.colour = "picture";
  const little = (r, g, b) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  const colours = paint.css.map((css) => little(...rgb(css)));
  paint.spot = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    paint.spot[i] = paint.of ? colours[paint.of[i] % colours.length] : little(data.tones[i], data.tones[n + i], data.tones[2 * n + i]);
  }
}
const colourOf = (slot) => (paint.of ? paint.css[paint.of[slot] % paint.css.length] : null);

// Thumbnails at this scale, or spots where they would be too many to draw.
const sideAt = (scale) => Math.min(LARGEST, Math.max(2, grid.thumbnail * scale));
const asSpots = (scale) => sideAt(scale) < Math.max(10, Math.sqrt((width * height) / 8000)) && page.n > 600;

function newTiles() {
  if (front) keepStill();
  front = { scale: view.scale, side: sideAt(view.scale), spots: asSpots(view.scale), tiles: new Map(), asked: new Set(), chosen: null };
  if (front.spots) front.chosen = spread(front.scale);
}

// In the far view, one representative per square of the screen, so that none covers another.
function spread(scale) {
  const cell = REPRESENTATIVE + 4, squares = new Map();
  const atlas = page.overview.length ? "overview" : "map";
  const from = page.overview.length ? page.overview : Array.from({ length: page.n }, (_, i) => i);
  from.forEach((slot, place) => {
    if (selection && !selection.has[slot]) return;
    const x = data.x[slot] * scale, y = data.y[slot] * scale, column = Math.floor(x / cell), row = Math.floor(y / cell);
    const key = column + "," + row;
    if (!squares.has(key)) squares.set(key, { slot, place, atlas, x: column * cell + 2, y: row * cell + 2 });
  });
  return [...squares.values()];
}

function drawTile(set, column, row) {
  const x0 = (column * TILE) / set.scale, y0 = (row * TILE) / set.scale, span = TILE / set.scale, margin = LARGEST / set.scale;
  const sharp = Math.round(TILE * dpr), canvas = make("canvas", { width: sharp, height: sharp });
  const context = canvas.getContext("2d");
  const tile = { canvas, missing: new Set(), stale: false };
  if (x0 > 1 + margin || y0 > 1 + margin || x0 + span < -margin || y0 + span < -margin) return tile;
  context.imageSmoothingQuality = "high";
  if (set.spots) drawSpots(set, context, x0, y0, span, sharp);
  context.scale(dpr, dpr);
  const show = (slot, atlas, place, x, y, side) => {
    const part = partFor(atlas, side * dpr), [number, across, down] = cellOf(atlas, place), colour = colourOf(slot);
    const edge = colour ? Math.max(1, Math.min(4, side * 0.09)) : 0;
    if (edge) {
      context.fillStyle = colour;
      context.fillRect(x, y, side, side);
    }
    const bitmap = pageNow(atlas, number, part);
    if (bitmap) return drawCell(context, atlas, bitmap, part, across, down, x + edge, y + edge, side - 2 * edge);
    tile.missing.add(`${atlas}-${number}/${part}`);
    context.fillStyle = `rgb(${data.tones[slot]} ${data.tones[page.n + slot]} ${data.tones[2 * page.n + slot]})`;
    context.fillRect(x + edge, y + edge, side - 2 * edge, side - 2 * edge);
  };
  if (set.spots) {
    for (const { slot, place, atlas, x, y } of set.chosen) {
      const left = x - column * TILE, top = y - row * TILE;
      if (left > -REPRESENTATIVE && top > -REPRESENTATIVE && left < TILE && top < TILE) show(slot, atlas, place, left, top, REPRESENTATIVE);
    }
  } else {
    const half = set.side / 2 / set.scale, inside = [...around(x0 - half, y0 - half, x0 + span + half, y0 + span + half)];
    for (const chosen of selection ? [0, 1] : [1]) {
      context.globalAlpha = chosen ? 1 : DIMMED;
      for (const slot of inside) {
        if (selection && selection.has[slot] !== chosen) continue;
        const x = (data.x[slot] - x0) * set.scale - set.side / 2, y = (data.y[slot] - y0) * set.scale - set.side / 2;
        if (x > -set.side && y > -set.side && x < TILE && y < TILE) show(slot, "map", slot, x, y, set.side);
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
      const left = Math.round((data.x[slot] - x0) * perMap - side / 2), top = Math.round((data.y[slot] - y0) * perMap - side / 2);
      const from = Math.max(0, left), to = Math.min(sharp, left + side);
      if (to <= from) continue;
      for (let y = Math.max(0, top); y < Math.min(sharp, top + side); y++) pixels.fill(colour, y * sharp + from, y * sharp + to);
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

let ground = "#fff";
function frame() {
  waiting = false;
  const began = performance.now(), zooming = front.scale !== view.scale;
  if (zooming && began - zoomedAt > 110) newTiles();
  const settled = front.scale === view.scale;
  pen.setTransform(dpr, 0, 0, dpr, 0, 0);
  pen.fillStyle = ground;
  const left = view.x * view.scale - width / 2, top = view.y * view.scale - height / 2; // px of the map at the screen's corner
  let late = !settled;
  if (!settled) {
    pen.fillRect(0, 0, width, height);
    stretch();
  } else {
    const wanted = [];
    for (let row = Math.floor(top / TILE); row * TILE < top + height; row++) {
      for (let column = Math.floor(left / TILE); column * TILE < left + width; column++) wanted.push([column, row]);
    }
    const away = ([column, row]) => Math.hypot((column + 0.5) * TILE - left - width / 2, (row + 0.5) * TILE - top - height / 2);
    wanted.sort((a, b) => away(a) - away(b));
    for (const [column, row] of wanted) {
      const key = column + "," + row, x = Math.round((column * TILE - left) * dpr) / dpr, y = Math.round((row * TILE - top) * dpr) / dpr;
      let tile = front.tiles.get(key);
      if (!tile || tile.stale) {
        if (performance.now() - began < SLICE) tile = drawTile(front, column, row);
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
    const f = view.scale / scale;
    pen.drawImage(canvas, (x - view.x) * view.scale + width / 2 - (across / 2) * f, (y - view.y) * view.scale + height / 2 - (down / 2) * f, across * f, down * f);
  };
  place(base, 0.5, 0.5, 1, 1, 1);
  if (still) place(still.canvas, still.x, still.y, still.scale, width, height);
}

// Marks above the images: numbers of clusters, what is chosen and its neighbours, the lasso.
function drawMarks() {
  marks.setTransform(dpr, 0, 0, dpr, 0, 0);
  marks.clearRect(0, 0, width, height);
  const accent = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  const side = Math.max(10, front.spots ? REPRESENTATIVE : sideAt(view.scale));
  const ring = (slot, thick) => {
    const [x, y] = toScreen(slot);
    for (const [colour, wide] of [[ground, thick + 3], [accent, thick]]) {
      marks.strokeStyle = colour;
      marks.lineWidth = wide;
      marks.strokeRect(x - side / 2 - 1, y - side / 2 - 1, side + 2, side + 2);
    }
  };
  if (state.image !== null) {
    const [x, y] = toScreen(state.image);
    marks.strokeStyle = accent;
    marks.lineWidth = 1.5;
    marks.globalAlpha = 0.6;
    marks.beginPath();
    for (const near of neighboursOf(state.image)) {
      marks.moveTo(x, y);
      marks.lineTo(...toScreen(near));
    }
    marks.stroke();
    marks.globalAlpha = 1;
    ring(state.image, 3);
  }
  if (hovered >= 0) ring(hovered, 2);
  if (document.activeElement === surface && surface.matches(":focus-visible")) {
    const slot = middle();
    if (slot >= 0) ring(slot, 2);
  }
  if (state.colour === "cluster" && data.k !== null) {
    marks.font = "600 13px system-ui, sans-serif";
    marks.textAlign = "center";
    marks.textBaseline = "middle";
    (page.medoids[data.k] || []).forEach((slot, cluster) => {
      if (slot < 0) return;
      const [x, y] = toScreen(slot), wide = marks.measureText(cluster).width + 12;
      marks.fillStyle = ground;
      marks.strokeStyle = PALETTE[cluster % PALETTE.length];
      marks.lineWidth = 3;
      marks.beginPath();
      marks.roundRect(x - wide / 2, y - 11, wide, 22, 11);
      marks.fill();
      marks.stroke();
      marks.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
      marks.fillText(cluster, x, y + 1);
    });
  }
  if (lasso) {
    marks.strokeStyle = accent;
    marks.lineWidth = 2;
    marks.setLineDash([6, 4]);
    marks.beginPath();
    lasso.forEach(([x, y]) => marks.lineTo(...[(x - view.x) * view.scale + width / 2, (y - view.y) * view.scale + height / 2]));
    marks.closePath();
    marks.stroke();
    marks.globalAlpha = 0.1;
    marks.fillStyle = accent;
    marks.fill();
    marks.globalAlpha = 1;
    marks.setLineDash([]);
  }
}

// The image under a point of the screen, or -1: the uppermost thumbnail, or the nearest spot. Dimmed ones do not count.
function pick(px, py) {
  const [x, y] = toMap(px, py), half = front.spots ? 12 : sideAt(view.scale) / 2, reach = half / view.scale;
  if (front.spots) {
    const within = (of, v) => v * view.scale >= of && v * view.scale < of + REPRESENTATIVE;
    const hit = front.chosen.find((of) => within(of.x, x) && within(of.y, y));
    if (hit) return hit.slot;
  }
  let found = -1, least = Infinity;
  for (const slot of around(x - reach, y - reach, x + reach, y + reach)) {
    const dx = Math.abs(data.x[slot] - x), dy = Math.abs(data.y[slot] - y), far = front.spots ? Math.hypot(dx, dy) : 0;
    if (Math.max(dx, dy) > reach || far > least || (selection && !selection.has[slot])) continue;
    [found, least] = [slot, far];
  }
  return found;
}

// The image nearest to the middle of the screen: what Enter opens.
function middle() {
  let found = -1, least = Infinity;
  for (let slot = 0; slot < page.n; slot++) {
    const far = Math.hypot(data.x[slot] - view.x, data.y[slot] - view.y);
    if (far < least && !(selection && !selection.has[slot])) [found, least] = [slot, far];
  }
  return found;
}
