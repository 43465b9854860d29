"use strict";
// What stands beside the map: one image, the heads and the search by them, clusters, selection, duplicates, outliers, the run.
// Any button with `data-image` opens that image and any link with `data-head` shows that head, wherever it stands.

const count = (n, of = "image") => `${n.toLocaleString("en")} ${of}${n === 1 ? "" : "s"}`;
const percent = (share) => (share > 0 && share < 0.01 ? "< 1 %" : `${Math.round(share * 100)} %`);
const digits = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
const say = (text) => ($("live").textContent = text);
const button = (text, act, more = {}) => make("button", { type: "button", textContent: text, onclick: act, ...more });
const className = (slot) => page.classes[data.labels[slot]] ?? `class ${data.labels[slot]}`;

function facts(slot) {
  const said = [];
  if (data.labels) said.push(className(slot));
  if (data.k !== null) said.push(`cluster ${data.clusters[slot]}`);
  const head = state.colour.startsWith("head") ? headAt(Number(state.colour.slice(4))) : -1;
  if (head >= 0) said.push(`${headName(head)}: ${digits(answer(head, slot))}`);
  return said.join(" · ");
}
const describe = (slot) => [fileOf(slot), facts(slot)].filter(Boolean).join(", ");

function imageButton(slot, side, note = "") {
  const name = describe(slot);
  return make("button", { type: "button", className: "image", title: name, "aria-label": name + (note && `, ${note}`), "data-image": slot },
    thumb(slot, side), note ? make("span", { textContent: note }) : null);
}

// Show items some at a time: a folder may hold thousands of what is listed here.
function some(items, show, step, className = "grid") {
  const list = make("div", { className }), all = make("div", {}, list);
  const more = button("Show more", () => {
    const first = list.children.length;
    list.append(...items.slice(first, first + step).map(show));
    more.hidden = list.children.length >= items.length;
  });
  all.append(more);
  more.click();
  return all;
}

const headLink = (j) => make("a", { href: "#", "data-head": j, textContent: headName(j) });
const clusterLink = (cluster) => make("a", { href: "#", "data-cluster": cluster, textContent: `cluster ${cluster}` });

// ---- One image

function openImage(slot, move = true) {
  state.image = slot;
  showTab("image");
  fillImage();
  if (move) showOnMap(slot);
  redraw();
  say(`Image ${describe(slot)}`);
}

function fillImage() {
  const slot = state.image, panel = $("panel-image");
  if (slot === null) {
    panel.replaceChildren(make("p", { className: "hint", textContent: "Choose an image: on the map, in a gallery or in a list. Its neighbours, clusters and heads appear here." }));
    return;
  }
  const heads = page.heads.map((_, j) => ({ j, at: rank(j, slot) })).sort((a, b) => b.at - a.at);
  const bar = ({ j, at }) => {
    const filled = make("i");
    filled.style.width = 100 * at + "%";
    return make("li", {}, headLink(j), make("div", { className: "bar" }, filled), make("span", { textContent: percent(at) }));
  };
  const groups = page.duplicates.filter((group) => group.images.includes(slot));
  const near = neighboursOf(slot), strange = page.outliers.findIndex(([other]) => other === slot);
  panel.replaceChildren(...[
    make("div", { className: "one" }, thumb(slot, 192), make("div", {},
      make("h2", { textContent: fileOf(slot), className: "file" }),
      data.labels && make("p", { textContent: `class: ${className(slot)}` }),
      data.k !== null && make("p", {}, "in ", clusterLink(data.clusters[slot]), ` of ${data.k}`),
      strange >= 0 && make("p", { textContent: `outlier number ${strange + 1} (${page.outlierScore} ${digits(page.outliers[strange][1])})` }),
      make("p", {}, button("Show on the map", () => showOnMap(slot)), " ", button("Copy its name", () => copy(fileOf(slot), "the name"))))),
    near.length > 0 && make("h3", { textContent: "Nearest images" }),
    near.length > 0 && some(near, (other) => imageButton(other, 84), 24),
    heads.length > 0 && make("h3", { textContent: "Its heads" }),
    heads.length > 0 && make("p", { className: "hint", textContent: "The share of images that the head answers to less than to this one." }),
    heads.length > 0 && make("ul", { className: "bars" }, heads.slice(0, Math.ceil(Math.min(12, heads.length) / 2)).map(bar)),
    heads.length > 1 && make("ul", { className: "bars" }, heads.slice(-Math.floor(Math.min(12, heads.length) / 2)).map(bar)),
    groups.length > 0 && make("h3", { textContent: "Near-duplicates" }),
    ...groups.flatMap((group) => [make("p", { textContent: sentence(group.tier) }), groupOf(group)]),
  ].filter(Boolean));
  remember();
}

// ---- Heads

function fillHeads() {
  const names = make("datalist", { id: "names" }), meaning = make("select", { id: "meaning" },
    make("option", { value: "half", textContent: "its answer is above 0.5" }), make("option", { value: "tenth", textContent: "the image is in its top tenth" }));
  const asked = make("input", { id: "asked", type: "search", placeholder: "name or number of a head", "aria-label": "Head to search by", autocomplete: "off" });
  asked.setAttribute("list", "names");
  const add = (on) => {
    const text = asked.value.trim().toLowerCase();
    const head = page.heads.findIndex((of, j) => headName(j).toLowerCase() === text || String(of.number) === text.replace(/^head\s*/, ""));
    if (head < 0) return say($("found").textContent = text ? `No head shown here is called “${asked.value}”.` : "Type the name or number of a head first.");
    asked.value = "";
    addTerm(head, on);
  };
  meaning.onchange = find;
  const file = make("input", { type: "file", accept: ".json,application/json", hidden: true, onchange: readNames, id: "names-file", "aria-label": "File of names" });
  $("panel-heads").replaceChildren(
    make("form", { className: "search", "aria-label": "Search by heads", onsubmit: (event) => { event.preventDefault(); add(true); } },
      make("h2", { textContent: "Search by heads" }), names,
      make("div", { className: "row" }, asked, button("is on", () => add(true)), button("is not", () => add(false))),
      make("div", { className: "row", id: "terms" }),
      make("label", {}, "A head is on when ", meaning), make("p", { id: "found", className: "hint" })),
    make("p", { className: "row" }, button("Save names as a file", () => save("heads.json", JSON.stringify(Object.fromEntries(state.names), null, 1), "application/json")),
      button("Read names from a file", () => file.click()), file),
    make("p", { className: "hint", textContent: "Names that you give are kept in this page's address: copy it to share them." }),
    some(page.heads.map((_, j) => j), headCard, page.heads.length, "cards"));
  showNames();
}

function headCard(j) {
  const head = page.heads[j], name = make("input", { maxLength: 60, placeholder: "give it a name", "aria-label": `Name of head ${head.number}`, "data-name": head.number });
  name.onchange = () => {
    if (name.value.trim()) state.names.set(head.number, name.value.trim());
    else state.names.delete(head.number);
    showNames();
    remember();
  };
  const strip = (part, says) => head[part].length > 0 && make("div", { className: "strip" }, make("h4", { textContent: says }),
    make("div", { className: "row" }, head[part].map((slot) => imageButton(slot, 68))));
  const others = (list, says) => list.length > 0 && make("p", {}, says, list.flatMap(([number, r], at) => {
    const shown = headAt(number);
    return [at ? ", " : " ", shown < 0 ? `head ${number}` : headLink(shown), ` (${digits(r)})`];
  }));
  return make("article", { className: "card", id: `head-${head.number}`, tabIndex: -1 }, [
    make("div", { className: "row" }, make("h3", { textContent: `Head ${head.number}` }), name),
    make("p", { className: "hint", textContent: `on for ${percent(head.on)} of the images · two views agree ${digits(head.agreement)} · spread ${digits(head.spread)}` }),
    strip("top", "most"), strip("middle", "middle"), strip("bottom", "least"),
    others(head.same, "Says the same:"), others(head.opposite, "Says the opposite:"),
    make("div", { className: "row" }, button("Colour the map", () => useColour("head" + head.number)),
      button("Search: is on", () => addTerm(j, true)), button("Search: is not", () => addTerm(j, false))),
  ].filter(Boolean));
}

function showNames() { // after a change: everywhere a head is named
  for (const input of document.querySelectorAll("[data-name]")) input.value = state.names.get(Number(input.dataset.name)) || "";
  for (const link of document.querySelectorAll("a[data-head]")) link.textContent = headName(Number(link.dataset.head));
  $("names").replaceChildren(...page.heads.map((_, j) => make("option", { value: headName(j) })));
  for (const option of $("colour").options) if (option.value.startsWith("head")) option.textContent = headName(headAt(Number(option.value.slice(4))));
  showTerms();
  showLegend();
}

async function readNames(event) {
  try {
    const read = JSON.parse(await event.target.files[0].text());
    const named = Object.entries(read).filter(([number, name]) => /^\d+$/.test(number) && typeof name === "string" && name.trim());
    for (const [number, name] of named) state.names.set(Number(number), name.trim().slice(0, 60));
    say(`${count(named.length, "name")} read`);
  } catch {
    say($("found").textContent = "That file holds no names: a file saved by this page is expected.");
  }
  event.target.value = "";
  showNames();
  remember();
}

function addTerm(head, on) {
  state.terms = [...state.terms.filter((term) => term.head !== head), { head, on }];
  find();
}

const wanted = () => state.terms.map(({ head, on }) => (on ? "" : "not ") + headName(head)).join(", ");
function showTerms() {
  $("terms").replaceChildren(...state.terms.map((term) => button(`${term.on ? "" : "not "}${headName(term.head)} ✕`, () => {
    state.terms = state.terms.filter((other) => other !== term);
    find();
  }, { className: "chip", "aria-label": `Remove: ${term.on ? "" : "not "}${headName(term.head)}` })));
}

function find() {
  const tenth = $("meaning").value === "tenth", isOn = (head, slot) => (tenth ? rank(head, slot) >= 0.9 : answer(head, slot) > 0.5);
  const found = [];
  for (let slot = 0; state.terms.length && slot < page.n; slot++) {
    if (state.terms.every(({ head, on }) => isOn(head, slot) === on)) found.push(slot);
  }
  // The most telling first; copied and saved lists are in the order of the files.
  const telling = (slot) => state.terms.reduce((sum, { head, on }) => sum + (on ? rank(head, slot) : 1 - rank(head, slot)), 0);
  const sums = new Map(found.map((slot) => [slot, telling(slot)]));
  found.sort((a, b) => sums.get(b) - sums.get(a));
  select(state.terms.length ? found : null, `with ${wanted()}`);
  $("found").textContent = state.terms.length ? `${count(found.length)} with ${wanted()}: see the map, and Selection.` : "";
  showTerms();
  remember();
}

// ---- Clusters

function fillClusters() {
  const ks = page.ks, slider = make("input", { type: "range", id: "k", min: ks[0], max: ks.at(-1), step: 1, value: data.k, "aria-label": "Number of clusters" });
  slider.oninput = async () => {
    const k = ks.reduce((best, of) => (Math.abs(of - slider.value) < Math.abs(best - slider.value) ? of : best));
    if (k !== data.k) await setClusters(k);
  };
  const series = [["silhouette", page.silhouette], ["stability", page.stability]].filter(([, of]) => Object.keys(of).length);
  $("panel-clusters").replaceChildren(
    make("p", { className: "advice", textContent: page.advice }),
    make("label", { className: "row" }, make("output", { id: "k-now" }), slider),
    make("div", { className: "charts" }, series.map(([name, of]) => chart(name, ks, ks.map((k) => of[k]), "clusters k", (k) => setClusters(k)))),
    make("p", { className: "hint", textContent: "Silhouette: how much nearer images are to their own cluster than to the next. Stability: how well the clusters of two half-samples agree." }),
    make("div", { id: "medoids" }));
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

function showClusters() {
  $("k-now").textContent = `k = ${data.k}`;
  for (const dot of document.querySelectorAll("#panel-clusters circle")) dot.classList.toggle("now", dot.dataset.x === String(data.k));
  const sizes = new Array(data.k).fill(0), medoids = page.medoids[data.k] || [];
  for (const cluster of data.clusters) sizes[cluster]++;
  $("medoids").replaceChildren(make("div", { className: "grid" }, sizes.map((size, cluster) => {
    const mark = make("i", { className: "swatch" });
    mark.style.background = PALETTE[cluster % PALETTE.length];
    return make("div", { className: "medoid" }, medoids[cluster] >= 0 ? imageButton(medoids[cluster], 104) : null,
      make("div", {}, mark, clusterLink(cluster)), make("small", { textContent: count(size) }));
  })));
}

function selectCluster(cluster) {
  select(slotsWhere(data.clusters, cluster), `in cluster ${cluster} of ${data.k}`);
}
const slotsWhere = (values, value) => Array.from(values.keys()).filter((slot) => values[slot] === value);

// ---- Selection

function showSelection() {
  const bar = $("chosen"), panel = $("panel-selection");
  bar.hidden = !selection;
  if (!selection) {
    $("found").textContent = "";
    if (state.terms.length) {
      state.terms = [];
      showTerms();
      remember();
    }
  }
  const byName = make("input", { type: "search", placeholder: "part of a file's name", "aria-label": "Part of a file's name" });
  byName.onchange = () => {
    const part = byName.value.trim().toLowerCase();
    if (part) select(Array.from(data.x.keys()).filter((slot) => fileOf(slot).toLowerCase().includes(part)), `with “${byName.value.trim()}” in the name`);
  };
  panel.replaceChildren(make("div", { className: "row" }, byName, button("Find", () => byName.onchange())));
  if (!selection) {
    bar.replaceChildren();
    panel.append(make("p", { className: "hint", textContent: "Select images with the lasso, a search by heads, a cluster or a part of their names. They can be copied and saved here." }));
    return;
  }
  const { slots, says } = selection, text = `${count(slots.length)} ${says}`;
  const acts = () => [button("Copy names", () => copy(listed(slots), count(slots.length, "name")), { disabled: !slots.length }),
    button("Save as CSV", () => save("selection.csv", csv(slots), "text/csv"), { disabled: !slots.length }), button("Clear", () => select(null))];
  bar.replaceChildren(make("span", { textContent: text }), make("span", { className: "row" }, button("List", () => showTab("selection")), acts()));
  const names = make("textarea", { readOnly: true, rows: 8, "aria-label": "Names of the selected files", spellcheck: false });
  names.value = listed(slots.slice(0, 2000)) + (slots.length > 2000 ? `\n… and ${count(slots.length - 2000, "name")} more: Copy and Save take all` : "");
  panel.append(make("h2", { textContent: text }), make("div", { className: "row" }, acts()));
  if (slots.length) panel.append(some(slots, (slot) => imageButton(slot, 84), 60), make("h3", { textContent: "Names, in the order of the files" }), names);
  say(text);
}
const listed = (slots) => inFileOrder(slots).map(fileOf).join("\n");

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
  toast(`Copied ${what}`);
}

function toast(text) {
  const note = make("div", { className: "toast", textContent: text, "aria-hidden": "true" });
  document.body.append(note);
  setTimeout(() => note.remove(), 1800);
}

// ---- Duplicates and outliers

const WARNINGS = {
  "same bytes": "The files are equal.",
  "perceptual hash": "The pictures are nearly equal: resized, compressed or slightly changed copies.",
  "looks alike to the network": "Only a hint. The network was trained to ignore crops and colours, so it never proves a duplicate.",
};
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const groupOf = (group) => make("article", { className: "card" }, make("p", { className: "hint", textContent: sentence(group.reason) }),
  some(group.images, (slot) => make("figure", {}, imageButton(slot, 96), make("figcaption", { textContent: fileOf(slot) })), 12));

function fillDuplicates() {
  $("panel-duplicates").replaceChildren(...page.tiers.flatMap((tier) => {
    const groups = page.duplicates.filter((group) => group.tier === tier);
    return [make("h2", { textContent: `${sentence(tier)}: ${count(groups.length, "group")}` }), make("p", { className: "hint", textContent: WARNINGS[tier] }),
      groups.length ? some(groups, groupOf, 20, "cards") : null];
  }).filter(Boolean));
}

function fillOutliers() {
  $("panel-outliers").replaceChildren(
    make("p", { className: "hint", textContent: `Images that stand alone, the strangest first. The number is the ${page.outlierScore}.` }),
    some(page.outliers, ([slot, score]) => imageButton(slot, 96, digits(score)), 60));
}

// ---- The run: curves, ledger, settings

function drawn(tag, properties, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// A line over numbers, with its axes named. `act(x)`, when given, is what a click on a point does.
function chart(title, xs, ys, axis, act = null) {
  const points = xs.map((x, i) => [x, ys[i]]).filter(([, y]) => y !== null && y !== undefined);
  const W = 260, H = 140, [l, r, t, b] = [46, 8, 10, 34], values = points.map(([, y]) => y);
  let low = Math.min(...values), high = Math.max(...values);
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const span = points.length > 1 ? points.at(-1)[0] - points[0][0] : 1;
  const X = (x) => l + (points.length > 1 ? (x - points[0][0]) / span : 0.5) * (W - l - r), Y = (y) => H - b - ((y - low) / (high - low)) * (H - t - b);
  const short = (v) => (Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en") : v && Math.abs(v) < 0.001 ? v.toExponential(1) : Number(v.toPrecision(3)).toString());
  const words = (x, y, text, anchor) => drawn("text", { x, y, "text-anchor": anchor }, text);
  const dots = act || points.length === 1 ? points.map(([x, y]) => {
    const dot = drawn("circle", { cx: X(x), cy: Y(y), r: 4, "data-x": x }, drawn("title", {}, `${x}: ${short(y)}`));
    if (act) dot.addEventListener("click", () => act(x));
    return dot;
  }) : [];
  const says = `${title} against ${axis}: from ${short(values[0])} to ${short(values.at(-1))}, lowest ${short(Math.min(...values))}, highest ${short(Math.max(...values))}`;
  return make("figure", { className: "chart" }, make("figcaption", { textContent: title }), drawn("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": says },
    drawn("path", { class: "axis", d: `M${l} ${t}V${H - b}H${W - r}` }), words(l - 6, Y(high) + 4, short(high), "end"), words(l - 6, Y(low) + 4, short(low), "end"),
    words(X(points[0][0]), H - b + 15, String(points[0][0]), "middle"), ...(points.length > 1 ? [words(X(points.at(-1)[0]), H - b + 15, String(points.at(-1)[0]), "end")] : []),
    words((l + W - r) / 2, H - 4, axis, "middle"), drawn("path", { class: "line", d: "M" + points.map(([x, y]) => `${X(x).toFixed(1)} ${Y(y).toFixed(1)}`).join("L") }), ...dots));
}

const table = (rows) => make("table", {}, make("tbody", {}, rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row", textContent: name }), make("td", { textContent: value })))));

function fillRun() {
  const { columns, rows } = page.curves, epochs = rows.map((row, i) => row[columns.indexOf("epoch")] ?? i + 1), { ledger } = page;
  const curves = columns.map((name, at) => [name, rows.map((row) => (typeof row[at] === "number" ? row[at] : null))])
    .filter(([name, ys]) => name !== "epoch" && ys.some((y) => y !== null));
  const total = (of) => (Array.isArray(of) ? of.length : Object.values(of || {}).reduce((sum, n) => sum + n, 0));
  const list = (title, items, line) => items && items.length > 0 && make("details", {}, make("summary", { textContent: `${title}: ${items.length.toLocaleString("en")}` }),
    some(items, (item) => make("div", { textContent: line(item) }), 200, "lines"));
  const parts = ledger.found !== undefined && [["used", ledger.used], ["ignored", total(ledger.ignored)], ["unreadable", total(ledger.unreadable)], ["repeated", total(ledger.repeated)]];
  $("panel-run").replaceChildren(...[
    curves.length > 0 && make("h2", { textContent: "Training" }),
    curves.length > 0 && make("div", { className: "charts" }, curves.map(([name, ys]) => chart(name, epochs, ys, "epoch"))),
    parts && make("h2", { textContent: "Every file accounted for" }),
    parts && make("p", { className: "ledger", textContent: `${ledger.found.toLocaleString("en")} found = ` + parts.map(([name, n]) => `${n.toLocaleString("en")} ${name}`).join(" + ") }),
    parts && total(ledger.ignored) > 0 && make("p", { textContent: "Ignored by their endings: " + Object.entries(ledger.ignored).map(([ending, n]) => `${n.toLocaleString("en")} ${ending || "without an ending"}`).join(", ") }),
    parts && list("Unreadable", ledger.unreadable, ([name, reason]) => `${name}: ${reason}`),
    parts && list("Repeated", ledger.repeated, ([name, first]) => `${name} = ${first}`),
    ...(ledger.notes || []).map((text) => make("p", { textContent: text })),
    Object.keys(page.notes).length > 0 && make("h2", { textContent: "Settings" }),
    Object.keys(page.notes).length > 0 && table(Object.entries(page.notes)),
  ].filter(Boolean));
}
