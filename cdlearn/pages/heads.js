"use strict";
// The heads of the network, their names, and the search by them.

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
  const meaning = make("select", { id: "meaning" }, make("option", { value: "half" }, "its output is above 0.5"),
    make("option", { value: "tenth" }, "the image is in its top tenth"));
  meaning.value = state.on;
  meaning.onchange = () => {
    state.on = meaning.value;
    if (state.terms.length) find(state.terms);
    remember();
  };
  const search = make("form", { className: "search", "aria-label": "Search by heads" },
    make("h2", {}, "Search by heads"), make("datalist", { id: "names" }),
    row(asked, button("is on", () => add(true)), button("is not", () => add(false))),
    make("div", { className: "row", id: "terms" }),
    make("label", {}, "A head is on when ", meaning), make("p", { id: "found", className: "hint" }));
  search.onsubmit = (event) => {
    event.preventDefault();
    add(true);
  };
  fill("heads", search, nameFiles(),
    make("div", { className: "cards" }, page.heads.map((_, j) => headCard(j))));
}

function headCard(j) {
  const head = page.heads[j], { number } = head;
  const name = make("input", { maxLength: 60, placeholder: "give it a name", "aria-label": `Name of head ${number}`,
    "data-name": number });
  name.onchange = () => {
    names.heads[number] = name.value.trim();
    keepNames();
  };
  const strip = (part, says) => head[part].length > 0 && listing(make("div", { className: "strip" },
    make("h4", {}, says), make("div", { className: "six" }, head[part].map((slot) => imageButton(slot, 68)))),
    `head ${number}, ${says}`, head[part]);
  const others = (list, says) => list.length > 0 && make("p", {}, says, list.map(([other, r], at) => {
    const shown = headAt(other);
    return [at ? ", " : " ", shown < 0 ? `head ${other}` : headLink(shown), ` (${digits(r)})`];
  }));
  return card({ id: `head-${number}`, tabIndex: -1 }, row(make("h3", {}, `Head ${number}`), name),
    hint(`on for ${percent(head.on)} of the images · two views agree ${digits(head.agreement)}`,
      ` · spread ${digits(head.spread)}`),
    oneStop(make("div", { role: "group", "aria-label": `Images of head ${number}` },
      [strip("top", "most"), strip("middle", "middle"), strip("bottom", "least")].filter(Boolean))),
    others(head.same, "Correlated with"), others(head.opposite, "Anticorrelated with"),
    row(button("Colour the map", () => useColour("head" + number)),
      button("Search: is on", () => addTerm(j, true)), button("Search: is not", () => addTerm(j, false))));
}

function showNames() { // after a change: everywhere that heads and clusters are named
  const each = (selector, act) => document.querySelectorAll(selector).forEach(act);
  each("[data-name]", (input) => (input.value = names.heads[input.dataset.name] || ""));
  each("a[data-head]", (link) => (link.textContent = headName(Number(link.dataset.head))));
  each("#colour option[value^=head]", (of) => (of.textContent = headName(headAt(Number(of.value.slice(4))))));
  $("names")?.replaceChildren(...page.heads.map((_, j) => make("option", { value: headName(j) })));
  if (page.heads.length) showTerms();
  each("[data-cluster-name]", (input) => (input.value = names.clusters[data.k]?.[input.dataset.clusterName] || ""));
  each("a[data-cluster]", (link) => (link.textContent = clusterName(Number(link.dataset.cluster))));
  showLegend();
  redraw();
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
  const isOn = (head, slot) => (state.on === "tenth" ? rank(head, slot) >= 0.9 : output(head, slot) > 0.5);
  const found = [], telling = new Float32Array(page.n);
  for (let slot = 0; terms.length && slot < page.n; slot++) {
    if (!terms.every(({ head, on }) => isOn(head, slot) === on)) continue;
    found.push(slot);
    for (const { head, on } of terms) telling[slot] += on ? rank(head, slot) : 1 - rank(head, slot);
  }
  found.sort((a, b) => telling[b] - telling[a]); // the most telling first; lists of names are in the order of the files
  select(terms.length ? found : null, `with ${wanted(terms)}`, terms);
}
