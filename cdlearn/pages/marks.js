"use strict";
// Marks above the images: numbers of clusters, what is chosen and its neighbours, the lasso.
function drawMarks() {
  marks.setTransform(dpr, 0, 0, dpr, 0, 0);
  marks.clearRect(0, 0, width, height);
  const { ground, accent, ink } = theme, side = front.spots ? REPRESENTATIVE : sideAt(view.scale);
  const ring = (slot, thick) => { // with its image, which others on the map may cover
    const [x, y] = where(slot), part = partFor("map", side * dpr), [number] = cellOf("map", slot);
    const bitmap = pageNow("map", number, part);
    if (bitmap) drawCell(marks, ["map", slot], slot, bitmap, x - side / 2, y - side / 2, side);
    else pageSoon("map", number, part).then(redraw);
    for (const [colour, wide] of [[ground, thick + 3], [accent, thick]]) {
      marks.strokeStyle = colour;
      marks.lineWidth = wide;
      marks.strokeRect(x - side / 2 - 1, y - side / 2 - 1, side + 2, side + 2);
    }
  };
  if (state.image !== null) {
    const [x, y] = where(state.image);
    marks.strokeStyle = accent;
    marks.lineWidth = 1.5;
    marks.globalAlpha = 0.6;
    marks.beginPath();
    for (const near of neighboursOf(state.image)) {
      marks.moveTo(x, y);
      marks.lineTo(...where(near));
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
    medoids().forEach((slot, cluster) => {
      if (slot < 0) return;
      const text = names.clusters[data.k]?.[cluster] || String(cluster);
      const [x, y] = where(slot), wide = marks.measureText(text).width + 12;
      marks.fillStyle = ground;
      marks.strokeStyle = colourAt(cluster);
      marks.lineWidth = 3;
      marks.beginPath();
      marks.roundRect(x - wide / 2, y - 11, wide, 22, 11);
      marks.fill();
      marks.stroke();
      marks.fillStyle = ink;
      marks.fillText(text, x, y + 1);
    });
  }
  if (lasso) {
    marks.strokeStyle = accent;
    marks.lineWidth = 2;
    marks.setLineDash([6, 4]);
    marks.beginPath();
    lasso.forEach((point) => marks.lineTo(...toScreen(...point)));
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
