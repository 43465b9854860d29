"use strict";
// Quality: images that are dark, blurred, odd in size and so on, by thresholds that the reader can move.

const thresholds = {}; // name of an issue -> threshold, where the reader moved it

async function fillQuality() {
  Object.assign(thresholds, storage.read("thresholds"));
  const cards = [];
  for (const issue of page.quality) cards.push(issueCard(issue, await numbers("measure-" + issue.measure)));
  fill("quality", hint("Measured on the pixels alone. Move a threshold: the images beyond it follow, the worst first."),
    make("div", { className: "cards" }, cards));
}

function issueCard(issue, values) {
  const [low, high] = page.measures[issue.measure], below = issue.side === "below";
  const valueOf = (slot) => low + (values[slot] / 255) * (high - low);
  const slider = make("input", { type: "range", min: issue.low, max: issue.high, step: (issue.high - issue.low) / 200,
    "aria-label": `Threshold of ${issue.name}` });
  const number = make("input", { type: "number", min: issue.low, max: issue.high, step: "any",
    "aria-label": `Threshold of ${issue.name}, as a number` });
  const found = make("b", { "data-issue": issue.name }), shown = make("div"), bins = histogram(values);
  let slots = [], later = 0;
  const image = (slot) => imageButton(slot, 84, digits(valueOf(slot)));
  const show = () => shown.replaceChildren(slots.length
    ? gallery(`the images flagged as ${issue.name}`, slots, image, 12) : "");
  const use = (threshold) => {
    slots = slotsWhere((slot) => (below ? valueOf(slot) < threshold : valueOf(slot) > threshold));
    slots.sort((a, b) => (values[a] - values[b]) * (below ? 1 : -1));
    found.textContent = count(slots.length);
    drawBins(bins, ((threshold - low) / (high - low)) * 256, below);
    act.disabled = !slots.length;
    clearTimeout(later); // pictures follow once the slider rests
    later = setTimeout(show, shown.childNodes.length ? 150 : 0);
  };
  const moveTo = (threshold) => {
    thresholds[issue.name] = threshold;
    storage.write("thresholds", thresholds);
    slider.value = threshold;
    number.value = Number(threshold.toFixed(3));
    back.hidden = threshold === issue.threshold;
    use(threshold);
  };
  slider.oninput = () => moveTo(Number(slider.value));
  number.onchange = () => number.value && moveTo(Number(number.value));
  const act = button("Select them", () => select(slots, `flagged as ${issue.name}`));
  const back = button("Back to the first threshold", () => moveTo(issue.threshold));
  moveTo(typeof thresholds[issue.name] === "number" ? thresholds[issue.name] : issue.threshold);
  return card({}, row(make("h3", {}, sentence(issue.name)), found, act, back), hint(sentence(issue.meaning)),
    bins.canvas, row(make("small", {}, `${issue.measure} ${issue.side}`), slider, number), shown);
}

// How often each value occurs, as bars; those beyond the threshold stand out.
function histogram(values) {
  const counts = new Uint32Array(64);
  for (const value of values) counts[value >> 2]++;
  const canvas = make("canvas", { width: 512, height: 64, className: "bins", role: "img",
    "aria-label": "Distribution" });
  return { counts, canvas, most: Math.max(...counts) };
}

function drawBins({ counts, canvas, most }, at, below) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  counts.forEach((n, bin) => {
    const beyond = below ? bin * 4 + 2 < at : bin * 4 + 2 > at, tall = n && Math.max(3, 60 * Math.sqrt(n / most));
    context.fillStyle = beyond ? theme.accent : NONE;
    context.fillRect(bin * 8, canvas.height - tall, 7, tall);
  });
}
