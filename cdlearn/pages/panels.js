"use strict";
// What stands beside the map, first part: one image; the heads, their names and the search by them.
// Any button with `data-image` opens that image and any link with `data-head` shows that head, wherever it stands.

const count = (n, of = "image") => `${n.toLocaleString("en")} ${of}${n === 1 ? "" : "s"}`;
const percent = (share) => (share > 0 && share < 0.01 ? "< 1 %" : `${Math.round(share * 100)} %`);
const digits = (value) => (typeof value === "number" ? value.toFixed(2).replace("-", "−") : "–");
const say = (text) => ($("live").textContent = text);

const button = (text, act, more = {}) => make("button", { type: "button", onclick: act, ...more }, text);
const hint = (...text) => make("p", { className: "hint" }, ...text);
const row = (...children) => make("div", { className: "row" }, ...children);
const card = (properties, ...children) => make("article", { className: "card", ...properties }, ...children);
const fill = (key, ...children) => $("panel-" + key).replaceChildren(...make("div", {}, ...children).childNodes);
const headLink = (j) => make("a", { href: "#", "data-head": j }, headName(j));
const clusterLink = (cluster) => make("a", { href: "#", "data-cluster": cluster }, `cluster ${cluster}`);

const className = (slot) => page.classes[data.labels[slot]] ?? `class ${data.labels[slot]}`;
const colouredHead = () => (state.colour.startsWith("head") ? headAt(Number(state.colour.slice(4))) : -1);
function facts(slot) {
  const said = [], head = colouredHead();
  if (data.labels) said.push(className(slot));
  if (data.k !== null) said.push(`cluster ${data.clusters[slot]}`);
  if (head >= 0) said.push(`${headName(head)}: ${digits(answer(head, slot))}`);
  return said.join(" · ");
}
const describe = (slot) => [fileOf(slot), facts(slot)].filter(Boolean).join(", ");

function imageButton(slot, side, note = "") {
  const title = describe(slot) + (note && `, ${note}`);
  const more = { className: "image", "data-image": slot, "aria-label": title, title };
  return make("button", { type: "button", ...more }, thumb(slot, side), note && make("span", {}, note));
}

// Show items some at a time: a folder may hold thousands of what is listed.
function some(items, show, step, className = "grid") {
  const list = make("div", { className });
  const more = button("Show more", () => {
    const first = list.children.length;
    list.append(...items.slice(first, first + step).map(show));
    more.hidden = list.children.length >= items.length;
  });
  more.click();
  return make("div", {}, list, more);
}

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
  const slot = state.image;
  if (slot === null) {
    const how = "Choose an image: on the map, in a gallery or in a list.";
    return fill("image", hint(how, " Its neighbours, clusters and heads appear here."));
  }
  const near = neighboursOf(slot), strange = page.outliers.findIndex(([other]) => other === slot);
  const score = strange >= 0 && `${page.outlierScore} ${digits(page.outliers[strange][1])}`;
  const groups = page.duplicates.filter((group) => group.images.includes(slot));
  const heads = page.heads.map((_, j) => ({ j, at: rank(j, slot) })).sort((a, b) => b.at - a.at);
  const half = Math.min(6, Math.ceil(heads.length / 2));
  fill("image",
    make("div", { className: "one" }, thumb(slot, 192), make("div", {},
      make("h2", { className: "file" }, fileOf(slot)),
      data.labels && make("p", {}, `class: ${className(slot)}`),
      data.k !== null && make("p", {}, "in ", clusterLink(data.clusters[slot]), ` of ${data.k}`),
      strange >= 0 && make("p", {}, `outlier number ${strange + 1} (${score})`),
      row(button("Show on the map", () => showOnMap(slot)),
        button("Copy its name", () => copy(fileOf(slot), "the name"))))),
    near.length > 0 && [make("h3", {}, "Nearest images"), some(near, (other) => imageButton(other, 84), 24)],
    heads.length > 0 && [make("h3", {}, "Its heads"),
      hint("The share of images that the head answers to less than to this one."),
      make("ul", { className: "bars" }, heads.slice(0, half).map(bar)),
      make("ul", { className: "bars" }, heads.slice(half).slice(-half).map(bar))],
    groups.length > 0 && make("h3", {}, "Near-duplicates"),
    groups.map((group) => [make("p", {}, sentence(group.tier)), groupOf(group)]));
  remember();
}

function bar({ j, at }) {
  const filled = make("i");
  filled.style.width = 100 * at + "%";
  return make("li", {}, headLink(j), make("div", { className: "bar" }, filled), make("span", {}, percent(at)));
}

// ---- Heads

function fillHeads() {
  const asked = make("input", { id: "asked", type: "search", placeholder: "name or number of a head",
    "aria-label": "Head to search by", list: "names", autocomplete: "off" });
  const add = (on) => {
    const text = asked.value.trim().toLowerCase(), number = text.replace(/^head\s*/, "");
    const head = page.heads.findIndex((of, j) => headName(j).toLowerCase() === text || String(of.number) === number);
    const trouble = text ? `No head shown here is called “${asked.value}”.` : "Type a head's name or number first.";
    if (head < 0) return say($("found").textContent = trouble);
    asked.value = "";
    addTerm(head, on);
  };
  const meaning = make("select", { id: "meaning" }, make("option", { value: "half" }, "its answer is above 0.5"),
    make("option", { value: "tenth" }, "the image is in its top tenth"));
  meaning.value = state.on;
  meaning.onchange = () => {
    state.on = meaning.value;
    if (state.terms.length) find(state.terms);
    remember();
  };
  const file = make("input", { type: "file", id: "names-file", accept: ".json,application/json", hidden: true,
    "aria-label": "File of names", onchange: readNames });
  const asText = () => JSON.stringify(Object.fromEntries(state.names), null, 1);
  const search = make("form", { className: "search", "aria-label": "Search by heads" },
    make("h2", {}, "Search by heads"), make("datalist", { id: "names" }),
    row(asked, button("is on", () => add(true)), button("is not", () => add(false))),
    make("div", { className: "row", id: "terms" }),
    make("label", {}, "A head is on when ", meaning), make("p", { id: "found", className: "hint" }));
  search.onsubmit = (event) => {
    event.preventDefault();
    add(true);
  };
  fill("heads", search,
    row(button("Save names as a file", () => save("heads.json", asText(), "application/json")),
      button("Read names from a file", () => file.click()), file),
    hint("Names that you give are kept in this page's address: copy it to share them."),
    make("div", { className: "cards" }, page.heads.map((_, j) => headCard(j))));
  showNames();
}

function headCard(j) {
  const head = page.heads[j], { number } = head;
  const name = make("input", { maxLength: 60, placeholder: "give it a name", "aria-label": `Name of head ${number}`,
    "data-name": number });
  name.onchange = () => {
    if (name.value.trim()) state.names.set(number, name.value.trim());
    else state.names.delete(number);
    showNames();
    remember();
  };
  const strip = (part, says) => head[part].length > 0 && make("div", { className: "strip" }, make("h4", {}, says),
    row(head[part].map((slot) => imageButton(slot, 68))));
  const others = (list, says) => list.length > 0 && make("p", {}, says, list.map(([other, r], at) => {
    const shown = headAt(other);
    return [at ? ", " : " ", shown < 0 ? `head ${other}` : headLink(shown), ` (${digits(r)})`];
  }));
  return card({ id: `head-${number}`, tabIndex: -1 }, row(make("h3", {}, `Head ${number}`), name),
    hint(`on for ${percent(head.on)} of the images · two views agree ${digits(head.agreement)}`,
      ` · spread ${digits(head.spread)}`),
    strip("top", "most"), strip("middle", "middle"), strip("bottom", "least"),
    others(head.same, "Says the same:"), others(head.opposite, "Says the opposite:"),
    row(button("Colour the map", () => useColour("head" + number)),
      button("Search: is on", () => addTerm(j, true)), button("Search: is not", () => addTerm(j, false))));
}

function showNames() { // after a change: everywhere a head is named
  const each = (selector, act) => document.querySelectorAll(selector).forEach(act);
  each("[data-name]", (input) => (input.value = state.names.get(Number(input.dataset.name)) || ""));
  each("a[data-head]", (link) => (link.textContent = headName(Number(link.dataset.head))));
  each("#colour option[value^=head]", (of) => (of.textContent = headName(headAt(Number(of.value.slice(4))))));
  $("names").replaceChildren(...page.heads.map((_, j) => make("option", { value: headName(j) })));
  showTerms();
  showLegend();
}

async function readNames(event) {
  try {
    const named = Object.entries(JSON.parse(await event.target.files[0].text()))
      .filter(([number, name]) => /^\d+$/.test(number) && typeof name === "string" && name.trim());
    for (const [number, name] of named) state.names.set(Number(number), name.trim().slice(0, 60));
    showNames();
    say(`${count(named.length, "name")} read`);
  } catch {
    say($("found").textContent = "That file holds no names: a file saved by this page is expected.");
  }
  event.target.value = "";
  remember();
}

// ---- The search: a list of terms, each a head that is on or is not

const addTerm = (head, on) => find([...state.terms.filter((term) => term.head !== head), { head, on }]);
const wanted = (terms) => terms.map(({ head, on }) => (on ? "" : "not ") + headName(head)).join(", ");

function showTerms() {
  const { terms } = state, found = terms.length && `${count(selection.slots.length)} with ${wanted(terms)}`;
  $("found").textContent = terms.length ? `${found}: see the map, and Selection.` : "";
  $("terms").replaceChildren(...terms.map((term) => {
    const without = () => find(terms.filter((other) => other !== term));
    return button(`${wanted([term])} ✕`, without, { className: "chip", "aria-label": `Remove: ${wanted([term])}` });
  }));
}

function find(terms) {
  const isOn = (head, slot) => (state.on === "tenth" ? rank(head, slot) >= 0.9 : answer(head, slot) > 0.5);
  const found = [], telling = new Float32Array(page.n);
  for (let slot = 0; terms.length && slot < page.n; slot++) {
    if (!terms.every(({ head, on }) => isOn(head, slot) === on)) continue;
    found.push(slot);
    for (const { head, on } of terms) telling[slot] += on ? rank(head, slot) : 1 - rank(head, slot);
  }
  found.sort((a, b) => telling[b] - telling[a]); // the most telling first; lists of names are in the order of the files
  select(terms.length ? found : null, `with ${wanted(terms)}`, terms);
}
