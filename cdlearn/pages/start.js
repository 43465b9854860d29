"use strict";
// Tabs, colours, light and dark; and the beginning.

const TABS = {
  image: ["Image", fillImage, () => true],
  heads: ["Heads", fillHeads, () => page.heads.length > 0],
  clusters: ["Clusters", fillClusters, () => page.ks.length > 0],
  selection: ["Selection", showSelection, () => true],
  duplicates: ["Duplicates", fillDuplicates, () => page.duplicates.length > 0],
  outliers: ["Outliers", fillOutliers, () => page.outliers.length > 0],
  run: ["Run", fillRun, () => true],
};
const narrow = matchMedia("(max-width: 800px)"), dark = matchMedia("(prefers-color-scheme: dark)");

function makeTabs() {
  for (const [key, [name, , has]] of Object.entries(TABS)) {
    const [tab, panel] = ["tab-" + key, "panel-" + key];
    const more = { id: tab, role: "tab", "aria-controls": panel, hidden: !has() };
    $("tabs").append(button(name, () => showTab(key), more));
    $("panels").append(make("div", { id: panel, role: "tabpanel", "aria-labelledby": tab, tabIndex: 0, hidden: true }));
  }
  $("tabs").addEventListener("keydown", (event) => {
    const tabs = [...$("tabs").children].filter((tab) => !tab.hidden), at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    tabs.at(to % tabs.length).click();
    tabs.at(to % tabs.length).focus();
  });
}

function showTab(key) {
  if (!TABS[key] || $("tab-" + key).hidden) key = "image";
  for (const other of Object.keys(TABS)) {
    $("tab-" + other).setAttribute("aria-selected", other === key);
    $("tab-" + other).tabIndex = other === key ? 0 : -1;
    $("panel-" + other).hidden = other !== key;
  }
  if (state.tab !== key) {
    const scroller = narrow.matches ? document.scrollingElement : $("panels");
    showTab[state.tab] = scroller.scrollTop; // each tab is found again where it was left
    state.tab = key;
    scroller.scrollTop = key === "image" ? 0 : showTab[key] ?? 0;
  }
  remember();
}

function showHead(j) {
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
    make("button", { type: "button", title, ...more }, swatch(PALETTE[at % PALETTE.length]), text);
  let entries = [];
  if (state.colour === "cluster") {
    entries = [...Array(data.k).keys()].map((c) => entry(`Select cluster ${c}`, c, { "data-cluster": c }, String(c)));
  } else if (state.colour === "class") {
    entries = page.classes.map((name, c) => entry(`Select ${name}`, c, {
      onclick: () => select(slotsWhere((slot) => data.labels[slot] === c), `of class ${name}`) }, name));
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

function connect() { // what every button, list and link does
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
    const linked = event.target.closest?.("[data-image], a[data-head], [data-cluster]")?.dataset;
    if (!linked) return;
    event.preventDefault();
    if (linked.image) openImage(Number(linked.image));
    else if (linked.head) showHead(Number(linked.head));
    else selectCluster(Number(linked.cluster));
  });
  for (const type of ["pointerover", "focusin"]) { // an image anywhere on the page shows its place on the map
    $("side").addEventListener(type, (event) =>
      hover(Number(event.target.closest?.("[data-image]")?.dataset.image ?? -1)));
  }
  $("side").addEventListener("pointerleave", () => hover(-1));
  addEventListener("hashchange", () => location.reload()); // an address that was pasted in
  listen();
}

async function start() {
  if (!window.DecompressionStream) throw new Error("it is too old; any browser from 2023 or later will do");
  await unpack();
  await recall();
  const { terms } = state; // of the address: they wait until there is a page to show them on
  state.terms = [];
  useTheme(state.theme);
  const said = [count(page.n), page.heads.length && count(page.heads.length, "head"),
    page.labelled ? "labels shown, never used" : "no labels"];
  $("summary").textContent = said.filter(Boolean).join(" · ");
  const heads = page.heads.map((head, j) => ["head" + head.number, headName(j)]);
  const colours = { picture: "pictures only", cluster: page.ks.length && "cluster", class: data.labels && "class" };
  for (const [value, text] of [...Object.entries(colours), ...heads]) {
    if (text) $("colour").append(make("option", { value }, text));
  }
  prepareMap();
  usePaint();
  makeTabs();
  resize();
  view.scale = Math.min(width, height) * 0.92;
  for (const [key, [, fillTab, has]] of Object.entries(TABS)) if (has() && key !== "image") fillTab();
  fillImage();
  useColour(state.colour);
  showTab(state.tab || (page.heads.length ? "heads" : "image"));
  if (terms.length) find(terms);
  if (state.image !== null) showOnMap(state.image);
  connect();
  document.body.classList.add("ready");
}

start().catch((error) => {
  $("summary").textContent = `This browser cannot show the page: ${error.message}.`;
  $("summary").className = "alert";
  throw error;
});
