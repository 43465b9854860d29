"use strict";
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

// The best picture of an image that the page holds: [atlas, place in it].
function bestOf(slot) {
  if (data.picture.has(slot)) return ["picture", data.picture.get(slot)];
  return page.restAtlas.pages ? ["rest", data.rest[slot]] : ["map", slot];
}

// Draw the square in the middle of a picture, or with `whole` all of it, of a decoded page.
function drawCell(context, [atlas, place], slot, bitmap, x, y, across, down = across, whole = false) {
  const cell = page[atlas + "Atlas"].cell * bitmap.part, [, column, row] = cellOf(atlas, place);
  let [w, h] = atlas !== "map" && atlas !== "overview" && page.pictureAtlas.whole ? fitted(slot, cell) : [cell, cell];
  let [left, top] = [column * cell, row * cell];
  if (!whole) {
    const side = Math.min(w, h);
    [left, top, w, h] = [left + (w - side) / 2, top + (h - side) / 2, side, side];
  }
  // Enlarging takes in pixels from beyond the rectangle, of the neighbouring cells: its outermost are left out.
  const edge = (across > w || down > h) && Math.min(w, h) > 3 ? 0.75 : 0;
  context.drawImage(bitmap, left + edge, top + edge, w - 2 * edge, h - 2 * edge, x, y, across, down);
}

// A canvas that shows an image, square or with `whole` at its own aspect ratio, once it is scrolled near.
function thumb(slot, side, whole = false) {
  whole &&= page.pictureAtlas.whole && bestOf(slot)[0] !== "map"; // the map's pictures are squares
  const [across, down] = whole ? fitted(slot, side) : [side, side], sharp = Math.min(2, devicePixelRatio);
  const size = { width: Math.round(across * sharp), height: Math.round(down * sharp) };
  const canvas = make("canvas", { ...size, className: whole ? "thumb whole" : "thumb", "aria-hidden": "true" });
  canvas.style.width = across + "px";
  canvas.style.aspectRatio = `${across} / ${down}`;
  canvas.dataset.slot = slot;
  seen.observe(canvas);
  return canvas;
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) drawThumb(target);
}, { rootMargin: "300px" });

async function drawThumb(canvas) {
  seen.unobserve(canvas);
  const slot = Number(canvas.dataset.slot), source = bestOf(slot), [atlas, place] = source, { width, height } = canvas;
  const whole = canvas.classList.contains("whole"), [across, down] = fitted(slot, 256);
  const longer = whole ? Math.max(width, height) : (width * 256) / Math.min(across, down);
  const bitmap = await pageSoon(atlas, cellOf(atlas, place)[0], partFor(atlas, longer));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  drawCell(context, source, slot, bitmap, 0, 0, width, height, whole);
  canvas.classList.add("drawn");
}

// For print: every picture of what is shown, page after page of pictures, so that memory holds few at a time.
async function drawAll() {
  const left = [...$("side").querySelectorAll('[role="tabpanel"]:not([hidden]) canvas.thumb:not(.drawn)')];
  const at = (canvas) => bestOf(Number(canvas.dataset.slot))[1];
  for (const canvas of left.sort((a, b) => at(a) - at(b))) await drawThumb(canvas);
}
