"use strict";
// Colours. The first ten stay apart for colour-blind eyes, too (OKLab distance 0.09 or more without red or green), and
// go up and down in lightness for print in grey. Beyond ten no palette can; clusters have their numbers on the map.
const PALETTE = [
  "#2f62c4", "#f0b429", "#7a3b10", "#8fd3f4", "#e8623d", "#b58be0", "#ecdc9c", "#2b3457", "#c2185b", "#2fbf8f",
  "#1b8d9c", "#5d6075", "#009e50", "#f7a8c9", "#a52f1c", "#ffd95a", "#0072b2", "#5b2a86", "#6b8ff0", "#58c4ee",
];
const NONE = "#a6a8ad"; // in no cluster, without a label
const colourAt = (number) => (number < 0 ? NONE : PALETTE[number % PALETTE.length]);
const RAMP = ["#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838"]; // dark to light: so in grey, too
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
function ramp(t) {
  const at = Math.min(RAMP.length - 1.001, t * (RAMP.length - 1)), step = Math.floor(at);
  const from = rgb(RAMP[step]), to = rgb(RAMP[step + 1]);
  return "#" + from.map((v, c) => Math.round(v + (to[c] - v) * (at % 1)).toString(16).padStart(2, "0")).join("");
}
const paint = { css: [], of: null, spot: null }; // a colour per number, a number per image, and what is drawn far away
function usePaint() {
  const n = page.n, head = colouredHead();
  paint.of = null;
  const withNone = (numbers, count) => // 0 is none
    [paint.of, paint.css] = [numbers, [NONE, ...Array.from({ length: count }, (_, at) => colourAt(at))]];
  if (state.colour === "cluster" && data.k === "density") withNone(data.clusters, page.density.count);
  else if (state.colour === "cluster" && data.clusters) [paint.of, paint.css] = [data.clusters, PALETTE];
  else if (state.colour === "class" && data.labels) [paint.of, paint.css] = [data.labels, PALETTE];
  else if (state.colour === "label") withNone(labels.of, 9);
  else if (state.colour === "new" && data.new) withNone(data.new, 1);
  else if (head >= 0) {
    // By rank: outputs of a head often crowd into a narrow range.
    paint.of = Uint8Array.from({ length: n }, (_, i) => rank(head, i) * 63);
    paint.css = Array.from({ length: 64 }, (_, i) => ramp(i / 63));
  } else state.colour = "picture";
  const tone = (i) => [data.tones[i], data.tones[n + i], data.tones[2 * n + i]];
  const little = (r, g, b) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  const colours = paint.css.map((css) => little(...rgb(css)));
  paint.spot = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    paint.spot[i] = paint.of ? colours[paint.of[i] % colours.length] : little(...tone(i));
  }
}
const colourOf = (slot) => (paint.of ? paint.css[paint.of[slot] % paint.css.length] : null);
