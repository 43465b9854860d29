"use strict";
// What stands beside the map, second part: clusters, selection, duplicates, outliers, the run's curves and its ledger.

function fillClusters() {
  const ks = page.ks, slider = make("input", { type: "range", id: "k", min: ks[0], max: ks.at(-1), value: data.k,
    "aria-label": "Number of clusters" });
  slider.oninput = async () => {
    const away = (k) => Math.abs(k - slider.value), k = ks.reduce((best, of) => (away(of) < away(best) ? of : best));
    if (k !== data.k) await setClusters(k);
  };
  const measured = ["silhouette", "stability"].filter((name) => Object.keys(page[name]).length);
  fill("clusters",
    page.advice && make("p", { className: "advice" }, page.advice),
    make("label", { className: "row" }, make("output", { id: "k-now" }), slider),
    make("div", { className: "charts" }, measured.map((name) =>
      chart(name, ks, ks.map((k) => page[name][k]), "clusters k", setClusters))),
    hint("Silhouette: how much nearer images are to their own cluster than to the next. ",
      "Stability: how well the clusters of two half-samples agree."),
    make("div", { id: "medoids", className: "grid" }));
  showClusters();
}

async function setClusters(k) {
  await useClusters(k);
  $("k").value = k;
  showClusters();
  useColour("cluster");
  if (state.image !== null) fillImage();
  say(`${k} clusters`);
}

function swatch(css) {
  const mark = make("i", { className: "swatch" });
  mark.style.background = css;
  return mark;
}

function showClusters() {
  $("k-now").textContent = `k = ${data.k}`;
  for (const dot of $("panel-clusters").querySelectorAll("circle")) {
    dot.classList.toggle("now", dot.dataset.x === String(data.k));
  }
  const sizes = new Array(data.k).fill(0), medoids = page.medoids[data.k] || [];
  for (const cluster of data.clusters) sizes[cluster]++;
  $("medoids").replaceChildren(...sizes.map((size, cluster) => make("div", { className: "medoid" },
    medoids[cluster] >= 0 && imageButton(medoids[cluster], 104),
    make("div", {}, swatch(PALETTE[cluster % PALETTE.length]), clusterLink(cluster)), make("small", {}, count(size)))));
}

const slotsWhere = (holds) => Array.from(data.x.keys()).filter(holds);
const selectCluster = (cluster) =>
  select(slotsWhere((slot) => data.clusters[slot] === cluster), `in cluster ${cluster} of ${data.k}`);

// ---- Selection

function showSelection() {
  const bar = $("chosen"), byName = make("input", { type: "search", placeholder: "part of a file's name",
    "aria-label": "Part of a file's name" });
  byName.onchange = () => {
    const part = byName.value.trim().toLowerCase(), holds = (slot) => fileOf(slot).toLowerCase().includes(part);
    if (part) select(slotsWhere(holds), `with “${byName.value.trim()}” in the name`);
  };
  const search = row(byName, button("Find", () => byName.onchange()));
  bar.hidden = !selection;
  if (!selection) {
    bar.replaceChildren();
    return fill("selection", search, hint("Select images with the lasso, a search by heads, a cluster or a part of ",
      "their names. They can be copied and saved here."));
  }
  const { slots, says } = selection, text = `${count(slots.length)} ${says}`, disabled = !slots.length;
  const acts = () => [
    button("Copy names", () => copy(listed(slots), count(slots.length, "name")), { disabled }),
    button("Save as CSV", () => save("selection.csv", csv(slots), "text/csv"), { disabled }),
    button("Clear", () => select(null)),
  ];
  bar.replaceChildren(make("span", {}, text), row(button("List", () => showTab("selection")), acts()));
  const names = make("textarea", { readOnly: true, rows: 8, "aria-label": "Names of the selected files" });
  const more = slots.length - 2000;
  names.value = listed(slots.slice(0, 2000)) + (more > 0 ? `\n… and ${count(more, "more name")}` : "");
  fill("selection", search, make("h2", {}, text), row(acts()), slots.length > 0 && [
    some(slots, (slot) => imageButton(slot, 84), 60), make("h3", {}, "Names, in the order of the files"), names]);
  say(text);
}

const inFileOrder = (slots) => Array.from(slots).sort((a, b) => data.order[a] - data.order[b]);
const listed = (slots) => inFileOrder(slots).map(fileOf).join("\n");

const csvCell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
function csv(slots) {
  const columns = [["file", fileOf]];
  if (data.labels) columns.push(["class", className]);
  if (data.k !== null) columns.push(["cluster", (slot) => data.clusters[slot]]);
  page.heads.forEach((_, j) => columns.push([headName(j), (slot) => answer(j, slot).toFixed(2)]));
  const rows = inFileOrder(slots).map((slot) => columns.map(([, of]) => csvCell(of(slot))));
  return [columns.map(([name]) => csvCell(name)), ...rows].map((cells) => cells.join(",") + "\r\n").join("");
}

function save(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // an old way, for browsers that keep the clipboard from files
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(`Copied ${what}`);
  const note = make("div", { className: "toast", "aria-hidden": "true" }, `Copied ${what}`);
  document.body.append(note);
  setTimeout(() => note.remove(), 1800);
}

// ---- Duplicates and outliers

const MEANING = {
  "same bytes": "The files are equal.",
  "perceptual hash": "The pictures are nearly equal: resized, compressed or slightly changed copies.",
  "looks alike to the network":
    "Only a hint. The network was trained to ignore crops and colours, so it never proves a duplicate.",
};
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const groupOf = (group) => card({}, hint(sentence(group.reason)), some(group.images, (slot) =>
  make("figure", {}, imageButton(slot, 96), make("figcaption", {}, fileOf(slot))), 12));

function fillDuplicates() {
  fill("duplicates", page.tiers.map((tier) => {
    const groups = page.duplicates.filter((group) => group.tier === tier);
    const copies = [...new Set(groups.flatMap((group) => group.images.slice(1)))];
    const pick = button("Select all but the first of each", () => select(copies, `like one before (${tier})`));
    return [make("h2", {}, `${sentence(tier)}: ${count(groups.length, "group")}`), hint(MEANING[tier]),
      groups.length > 0 && [row(pick), some(groups, groupOf, 20, "cards")]];
  }));
}

function fillOutliers() {
  const slots = page.outliers.map(([slot]) => slot);
  fill("outliers", hint(`Images that stand alone, the strangest first. The number is the ${page.outlierScore}.`),
    row(button("Select them", () => select(slots, "among the outliers"))),
    some(page.outliers, ([slot, score]) => imageButton(slot, 96, digits(score)), 60));
}

// ---- The run: curves, ledger, settings

function drawn(tag, properties, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
  node.append(...children.flat());
  return node;
}

function short(value) {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return value && Math.abs(value) < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

// A line over numbers, with its axes named. `act(x)`, when given, is what a click on a point does.
function chart(title, xs, ys, axis, act = null) {
  const points = xs.map((x, i) => [x, ys[i]]).filter(([, y]) => typeof y === "number");
  const values = points.map(([, y]) => y);
  const [left, right, top, bottom] = [46, 252, 10, 106], [first, last] = [points[0][0], points.at(-1)[0]];
  const low = Math.min(...values), high = Math.max(...values);
  const X = (x) => (first === last ? (left + right) / 2 : left + ((x - first) / (last - first)) * (right - left));
  const Y = (y) => (low === high ? (top + bottom) / 2 : bottom - ((y - low) / (high - low)) * (bottom - top));
  const words = (x, y, anchor, text) => drawn("text", { x, y, "text-anchor": anchor }, String(text));
  const dots = (act || points.length === 1 ? points : []).map(([x, y]) => {
    const dot = drawn("circle", { cx: X(x), cy: Y(y), r: 4, "data-x": x }, drawn("title", {}, `${x}: ${short(y)}`));
    if (act) dot.addEventListener("click", () => act(x));
    return dot;
  });
  const line = "M" + points.map(([x, y]) => `${X(x).toFixed(1)} ${Y(y).toFixed(1)}`).join("L");
  const says = `${title} against ${axis}: from ${short(values[0])} to ${short(values.at(-1))}, ` +
    `lowest ${short(low)}, highest ${short(high)}`;
  return make("figure", { className: "chart" }, make("figcaption", {}, title),
    drawn("svg", { viewBox: "0 0 260 140", role: "img", "aria-label": says },
      drawn("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }),
      words(left - 6, Y(high) + 4, "end", short(high)),
      low < high ? words(left - 6, Y(low) + 4, "end", short(low)) : [],
      words(X(first), bottom + 15, "middle", first), first < last ? words(right, bottom + 15, "end", last) : [],
      words((left + right) / 2, bottom + 30, "middle", axis), drawn("path", { class: "line", d: line }), dots));
}

function fillRun() {
  const { ledger, notes, curves } = page, first = curves.columns.indexOf("epoch");
  const epochs = curves.rows.map((row, i) => row[first] ?? i + 1);
  const lines = curves.columns.map((name, at) => [name, curves.rows.map((row) => row[at])])
    .filter(([name, ys]) => name !== "epoch" && ys.some((y) => typeof y === "number"));
  const total = (of = 0) => (typeof of === "number" ? of : of.length ?? Object.values(of).reduce((a, b) => a + b, 0));
  const listOf = (title, items = [], line) => items.length > 0 && make("details", {},
    make("summary", {}, `${title}: ${items.length.toLocaleString("en")}`),
    some(items, (item) => make("div", {}, line(item)), 200, "lines"));
  const many = (n, of) => `${n.toLocaleString("en")} ${of}`;
  const parts = ["used", "ignored", "unreadable", "repeated"].map((name) => many(total(ledger[name]), name));
  const endings = Object.entries(ledger.ignored || {}).map(([ending, n]) => many(n, ending || "without"));
  fill("run",
    lines.length > 0 && [make("h2", {}, "Training"),
      make("div", { className: "charts" }, lines.map(([name, ys]) => chart(name, epochs, ys, "epoch")))],
    ledger.found !== undefined && [make("h2", {}, "Every file accounted for"),
      make("p", { className: "ledger" }, `${many(ledger.found, "found")} = ${parts.join(" + ")}`),
      endings.length > 0 && make("p", {}, `Ignored, by their endings: ${endings.join(", ")}`),
      listOf("Unreadable", ledger.unreadable, ([name, reason]) => `${name}: ${reason}`),
      listOf("Repeated", ledger.repeated, ([name, first]) => `${name} = ${first}`)],
    (ledger.notes || []).map((text) => make("p", {}, text)),
    Object.keys(notes).length > 0 && [make("h2", {}, "Settings"), make("table", {}, make("tbody", {},
      Object.entries(notes).map(([name, value]) =>
        make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)))))]);
}
