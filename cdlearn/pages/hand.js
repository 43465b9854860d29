"use strict";
// The reader's hand on the map: drag, wheel, pinch, keys, hover, lasso; and what the lasso or a search has selected.

let lasso = null; // points on the map while it is drawn
let lassoing = false;
const pointers = new Map();
let moved = 0, flight = 0;

function zoom(factor, px = width / 2, py = height / 2) {
  const [x, y] = toMap(px, py), nearest = (4 * LARGEST) / grid.thumbnail;
  const scale = Math.max(Math.min(width, height) * 0.4, Math.min(nearest, view.scale * factor));
  if (scale === view.scale) return;
  if (front.scale === view.scale) keepStill();
  view.x = x - (px - width / 2) / scale;
  view.y = y - (py - height / 2) / scale;
  view.scale = scale;
  zoomedAt = performance.now();
  hover(-1);
  redraw();
}

function pan(dx, dy) {
  view.x = Math.max(-0.2, Math.min(1.2, view.x - dx / view.scale));
  view.y = Math.max(-0.2, Math.min(1.2, view.y - dy / view.scale));
  redraw();
}

// Move to a place within a quarter of a second, or at once where the reader wants no motion.
function fly(x, y, scale) {
  const from = { ...view }, began = performance.now(), own = ++flight;
  if (front.scale === view.scale) keepStill();
  const step = (now) => {
    if (own !== flight) return;
    const t = calm.matches ? 1 : Math.min(1, (now - began) / 260), ease = t * (2 - t);
    view.x = from.x + (x - from.x) * ease;
    view.y = from.y + (y - from.y) * ease;
    view.scale = from.scale * (scale / from.scale) ** ease;
    zoomedAt = t < 1 ? now : 0;
    redraw();
    if (t < 1) requestAnimationFrame(step);
  };
  step(began);
}
const fit = () => fly(0.5, 0.5, Math.min(width, height) * 0.92);
const showOnMap = (slot) => fly(data.x[slot], data.y[slot], Math.max(view.scale, 34 / grid.thumbnail));

function resize() {
  const box = surface.parentElement.getBoundingClientRect(), before = Math.min(width, height);
  [width, height, dpr] = [Math.max(1, box.width), Math.max(1, box.height), Math.min(2, devicePixelRatio || 1)];
  for (const canvas of [surface, overlay]) {
    canvas.width = Math.round(width * dpr);
    canvas.height = Math.round(height * dpr);
  }
  view.scale *= Math.min(width, height) / before;
  front = still = null;
  newTiles();
  redraw();
}

const spot = (event) => {
  const box = surface.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

function listen() {
  surface.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    surface.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, spot(event));
    flight++;
    moved = 0;
    hover(-1);
    if (pointers.size === 1 && (lassoing || event.shiftKey)) lasso = [toMap(...spot(event))];
    else lasso = null;
  });
  surface.addEventListener("pointermove", (event) => {
    const now = spot(event), before = pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") hover(pick(...now), now);
      return;
    }
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    moved += Math.hypot(dx, dy);
    if (lasso) {
      if (Math.hypot(dx, dy) < 3) return;
      lasso.push(toMap(...now));
      redraw();
    } else if (pointers.size === 1) {
      if (moved > 4) {
        hover(-1);
        pan(dx, dy);
      } else return; // the first few px may be an unsteady click
    } else {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, of]) => of);
      const gap = (a) => Math.max(10, Math.hypot(a[0] - other[0], a[1] - other[1]));
      zoom(gap(now) / gap(before), other[0], other[1]);
    }
    pointers.set(event.pointerId, now);
  });
  const lift = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (lasso?.length > 2 && event.type === "pointerup") select(inside(lasso), "in the lasso");
    else if (moved <= 4 && event.type === "pointerup") {
      const slot = pick(...spot(event));
      if (slot >= 0) openImage(slot, false, null);
    }
    lasso = null;
    redraw();
  };
  surface.addEventListener("pointerup", lift);
  surface.addEventListener("pointercancel", lift);
  surface.addEventListener("pointerleave", () => hover(-1));
  surface.addEventListener("dblclick", (event) => zoom(2, ...spot(event)));
  surface.addEventListener("wheel", (event) => {
    event.preventDefault();
    flight++;
    const lines = event.deltaMode === 1 ? 33 : 1;
    const turned = Math.max(-300, Math.min(300, event.deltaY * lines));
    zoom(Math.exp(-turned * (event.ctrlKey ? 0.01 : 0.002)), ...spot(event));
  }, { passive: false });
  surface.addEventListener("keydown", (event) => {
    const keys = {
      ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0),
      ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
      "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: fit,
      Enter: () => middle() >= 0 && openImage(middle(), false, null),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
    clearTimeout(listen.later);
    const tell = () => middle() >= 0 && say(`In the middle: ${describe(middle())}`);
    if (event.key !== "Enter") listen.later = setTimeout(tell, 500);
  });
  surface.addEventListener("focus", redraw);
  surface.addEventListener("blur", redraw);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (lasso) [lasso, moved] = [null, 99];
    else if (lassoing) toggleLasso(false);
    else if (selection) select(null);
    redraw();
  });
  new ResizeObserver(resize).observe(surface.parentElement);
}

function toggleLasso(on = !lassoing) {
  lassoing = on;
  $("lasso").setAttribute("aria-pressed", on);
  surface.classList.toggle("lassoing", on);
}

function inside(points) { // the images inside a polygon, by the rule of crossings
  const found = [], xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  for (const slot of around(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys))) {
    const x = data.x[slot], y = data.y[slot];
    let within = false;
    for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
      if (ys[i] > y !== ys[j] > y && x < ((xs[j] - xs[i]) * (y - ys[i])) / (ys[j] - ys[i]) + xs[i]) within = !within;
    }
    if (within) found.push(slot);
  }
  return found;
}

function inView() {
  const [x0, y0] = toMap(0, 0), [x1, y1] = toMap(width, height);
  return inside([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]);
}

// Select images, or with null none. `says` ends the sentence "12 images …"; `terms` are those of a search by heads.
function select(slots, says = "", terms = []) {
  state.terms = terms;
  selection = slots ? { slots, says, has: new Uint8Array(page.n) } : null;
  if (selection) for (const slot of slots) selection.has[slot] = 1;
  toggleLasso(false);
  repaint(false);
  showSelection();
  if (page.heads.length) showTerms();
  remember();
}

// Draw everything anew, after a change of colours (`anew`) or of the selection.
function repaint(anew = true) {
  if (anew) usePaint();
  const styles = getComputedStyle(document.documentElement);
  for (const name of ["ground", "accent", "ink"]) theme[name] = styles.getPropertyValue("--" + name).trim();
  drawBase();
  newTiles();
  redraw();
}

// The image under the pointer, with its name beside it; for one elsewhere on the page, in a corner of the map.
function hover(slot, [px, py] = [0, 0]) {
  const card = $("hover");
  if (slot !== hovered) {
    hovered = slot;
    card.hidden = slot < 0 || (!px && narrow.matches);
    const shown = () => [thumb(slot, 224, true), make("b", {}, fileOf(slot)), make("span", {}, facts(slot)),
      make("span", {}, sizeOf(slot))];
    if (!card.hidden) card.replaceChildren(...shown());
    redraw();
  }
  if (card.hidden) return;
  const box = card.getBoundingClientRect(), [left, top] = px ? [px + 16, py + 16] : [width - box.width - 12, 64];
  card.style.left = Math.max(8, Math.min(left, width - box.width - 8)) + "px";
  card.style.top = (top + box.height > height ? Math.max(8, (px ? py : height) - box.height - 16) : top) + "px";
}
