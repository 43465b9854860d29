"use strict";
// Tabs, colours, light and dark, keys; and the beginning.

const TABS = {
  image: ["Image", fillImage, () => true],
  heads: ["Heads", fillHeads, () => page.heads.length > 0],
  clusters: ["Clusters", fillClusters, () => data.k !== null],
  selection: ["Selection", showSelection, () => true],
  labels: ["Labels", fillLabels, () => true],
  duplicates: ["Duplicates", fillDuplicates, () => page.duplicates.length > 0],
  outliers: ["Outliers", fillOutliers, () => page.outliers.length > 0],
  quality: ["Quality", fillQuality, () => page.quality.length > 0],
  new: ["New", fillNew, () => page.since !== null],
  run: ["Run", fillRun, () => true],
};
const dark = matchMedia("(prefers-color-scheme: dark)");

function makeTabs() {
  for (const [key, [name, , has]] of Object.entries(TABS)) {
    const [tab, panel] = ["tab-" + key, "panel-" + key];
    const go = () => {
      leave();
      showTab(key);
    };
    $("tabs").append(button(name, go, { id: tab, role: "tab", "aria-controls": panel, hidden: !has() }));
    $("panels").append(make("div", { id: panel, role: "tabpanel", "aria-labelledby": tab, tabIndex: 0, hidden: true }));
  }
  $("tabs").addEventListener("keydown", (event) => {
    const tabs = [...$("tabs").children].filter((tab) => !tab.hidden), at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    tabs.at(to % tabs.length).click();
    tabs.at(to % tabs.length).focus();
  });
}

const scrolled = {}; // where each tab was left: there it is found again
function showTab(key) {
  if (!TABS[key] || $("tab-" + key).hidden) key = "image";
  if (state.tab && state.tab !== key) scrolled[state.tab] = scroller().scrollTop;
  for (const other of Object.keys(TABS)) {
    $("tab-" + other).setAttribute("aria-selected", other === key);
    $("tab-" + other).tabIndex = other === key ? 0 : -1;
    $("panel-" + other).hidden = other !== key;
  }
  if (state.tab !== key) {
    state.tab = key;
    scroller().scrollTop = scrolled[key] ?? Math.min(scroller().scrollTop, narrow.matches ? $("side").offsetTop : 0);
  }
  remember();
}

function showHead(j) {
  leave();
  showTab("heads");
  const shown = $(`head-${page.heads[j].number}`);
  shown.scrollIntoView({ block: "start", behavior: calm.matches ? "auto" : "smooth" });
  shown.focus({ preventScroll: true });
}

function useColour(colour) {
  state.colour = colour;
  repaint(); // falls back on the pictures where there is no such colour
  $("colour").value = state.colour;
  showLegend();
  remember();
}

function showLegend() {
  const legend = $("legend"), entry = (title, at, more, text) =>
    make("button", { type: "button", title, ...more }, swatch(colourAt(at)), text);
  let entries = [];
  if (state.colour === "cluster") {
    const shown = [...Array(clusterCount()).keys()], none = data.k === "density" && page.density.none > 0;
    entries = (none ? [...shown, -1] : shown).map((c) => entry(`Select ${clusterName(c)}`, c, { "data-cluster": c },
      names.clusters[data.k]?.[c] || (c < 0 ? "none" : String(c))));
  } else if (state.colour === "class") {
    entries = page.classes.map((name, c) => entry(`Select ${name}`, c, {
      onclick: () => select(slotsWhere((slot) => data.labels[slot] === c), `of class ${name}`) }, name));
  } else if (state.colour === "label") {
    entries = [1, 2, 3, 4, 5, 6, 7, 8, 9].filter((number) => labels.of.includes(number)).map((number) =>
      entry(`Select those labelled ${labelName(number)}`, number - 1, {
        onclick: () => select(slotsWhere((slot) => labels.of[slot] === number), `labelled ${labelName(number)}`),
      }, labelName(number)));
  } else if (state.colour === "new") {
    entries = [entry("Select the new images", 0, {
      onclick: () => select(slotsWhere((slot) => data.new[slot]), `new since ${page.since.run}`) }, "new")];
  } else if (colouredHead() >= 0) {
    const ramp = make("i", { className: "ramp" });
    ramp.style.background = `linear-gradient(to right, ${RAMP.join(", ")})`;
    entries = [headLink(colouredHead()), make("span", {}, "least ", ramp, " most")];
  }
  legend.hidden = !entries.length;
  legend.replaceChildren(...entries);
}

function useTheme(theme) {
  state.theme = theme;
  document.documentElement.dataset.theme = theme || (dark.matches ? "dark" : "light");
}

function listenEverywhere() { // what every button, list and link does
  $("theme").onclick = () => {
    useTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    repaint();
    remember();
  };
  dark.addEventListener("change", () => {
    useTheme(state.theme);
    repaint();
  });
  $("colour").onchange = (event) => useColour(event.target.value);
  $("lasso").onclick = () => toggleLasso();
  $("viewed").onclick = () => select(inView(), "in view");
  $("nearer").onclick = () => zoom(1.6);
  $("farther").onclick = () => zoom(1 / 1.6);
  $("whole").onclick = fit;
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-image], a[data-head], [data-cluster]"), linked = link?.dataset;
    if (!linked) return;
    event.preventDefault();
    if (linked.image) openImage(Number(linked.image), true, listAround(link));
    else if (linked.head) showHead(Number(linked.head));
    else selectCluster(Number(linked.cluster));
  });
  for (const type of ["pointerover", "focusin"]) { // an image anywhere on the page shows its place on the map
    $("side").addEventListener(type, (event) =>
      hover(Number(event.target.closest?.("[data-image]")?.dataset.image ?? -1)));
  }
  $("side").addEventListener("pointerleave", () => hover(-1));
  $("side").addEventListener("focusin", stopAt);
  for (const of of [$("panels"), document]) of.addEventListener("scroll", remember, { passive: true });
  addEventListener("popstate", (event) => goTo(event.state));
  listenToKeys();
  listen();
}

function listenToKeys() {
  const acts = { j: () => stepImage(1), k: () => stepImage(-1) };
  const arrows = { ArrowRight: acts.j, ArrowLeft: acts.k };
  document.addEventListener("keydown", async (event) => {
    const { key } = event, busy = event.target.closest("#map, #tabs, input:not([type=checkbox]), select, textarea");
    if ((event.ctrlKey || event.metaKey) && key === "p") { // printing does not wait for pictures: they come first
      event.preventDefault();
      await drawAll();
      print();
    }
    if (event.ctrlKey || event.metaKey || event.altKey || busy?.matches("input, select, textarea")) return;
    if (/^[1-9]$/.test(key)) return labelByKey(Number(key));
    if (moveInGallery(event)) return;
    const act = acts[key] ?? (!busy && state.tab === "image" && arrows[key]);
    if (!act) return;
    event.preventDefault();
    act();
  });
  addEventListener("beforeprint", drawAll); // from a menu: those whose pages are at hand
}

// Back and Forward, or an address that was pasted in (then there is no `entry`).
async function goTo(entry) {
  const before = state.image;
  scrolled[state.tab] = scroller().scrollTop;
  const { terms, k } = recall(Boolean(entry)), wanted = state.tab;
  step = stepAt();
  if (k !== data.k) await setClusters(k);
  if (!entry) {
    useTheme(state.theme);
    useColour(state.colour);
    if (page.heads.length) find(terms);
  }
  state.tab = "";
  showTab(wanted);
  fillImage();
  if (state.image !== null && state.image !== before) showOnMap(state.image);
  scroller().scrollTop = entry?.scroll ?? 0;
  $("panel-" + state.tab).querySelector(`.image[data-image="${before}"]`)?.focus({ preventScroll: true });
  redraw();
}

async function start() {
  if (!window.DecompressionStream) throw new Error("it is too old; any browser from 2023 or later will do");
  await unpack();
  startKept();
  history.scrollRestoration = "manual";
  const { terms, k } = recall(), { scroll } = history.state ?? {};
  await useClusters(k);
  useTheme(state.theme);
  const said = [count(page.n), page.heads.length && count(page.heads.length, "head"), page.recipe,
    page.labelled ? "labels shown, never used" : "no labels"];
  $("summary").textContent = $("summary").title = said.filter(Boolean).join(" · ");
  const heads = page.heads.map((head, j) => ["head" + head.number, headName(j)]);
  const colours = { picture: "pictures only", cluster: data.k !== null && "cluster", class: data.labels && "class",
    label: "your labels", new: data.new && "new images" };
  for (const [value, text] of [...Object.entries(colours), ...heads]) {
    if (text) $("colour").append(make("option", { value }, text));
  }
  prepareMap();
  usePaint();
  makeTabs();
  resize();
  view.scale = Math.min(width, height) * 0.92;
  repaint();
  for (const [key, [, fillTab, has]] of Object.entries(TABS)) if (has() && key !== "image") await fillTab();
  fillImage();
  showNames();
  useColour(state.colour);
  const tab = state.tab;
  state.tab = "";
  showTab(tab || (page.heads.length ? "heads" : "image"));
  step = stepAt();
  if (terms.length) find(terms);
  if (state.image !== null) showOnMap(state.image);
  listenEverywhere();
  document.body.classList.add("ready");
  if (scroll !== undefined) scroller().scrollTop = scroll;
}

start().catch((error) => {
  $("summary").textContent = `This browser cannot show the page: ${error.message}.`;
  $("summary").className = "alert";
  throw error;
});
