"use strict";
// Tabs, colours, light and dark; and the beginning.

const TABS = [["image", "Image", fillImage, () => true], ["heads", "Heads", fillHeads, () => page.heads.length > 0],
  ["clusters", "Clusters", fillClusters, () => page.ks.length > 0], ["selection", "Selection", showSelection, () => true],
  ["duplicates", "Duplicates", fillDuplicates, () => page.duplicates.length > 0], ["outliers", "Outliers", fillOutliers, () => page.outliers.length > 0],
  ["run", "Run", fillRun, () => true]];

function makeTabs() {
  for (const [key, name, , has] of TABS) {
    const tab = button(name, () => showTab(key), { id: "tab-" + key, role: "tab", "aria-controls": "panel-" + key, hidden: !has() });
    $("tabs").append(tab);
    $("panels").append(make("div", { id: "panel-" + key, role: "tabpanel", "aria-labelledby": "tab-" + key, tabIndex: 0, hidden: true }));
  }
  $("tabs").addEventListener("keydown", (event) => {
    const tabs = [...$("tabs").children].filter((tab) => !tab.hidden), at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    const tab = tabs.at(to % tabs.length);
    tab.click();
    tab.focus();
  });
}

function showTab(key) {
  if (!$("tab-" + key) || $("tab-" + key).hidden) key = "image";
  for (const [other] of TABS) {
    const chosen = other === key, tab = $("tab-" + other);
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    $("panel-" + other).hidden = !chosen;
  }
  if (state.tab !== key) $("panels").scrollTop = 0;
  state.tab = key;
  remember();
}

function showHead(j) {
  showTab("heads");
  const card = $(`head-${page.heads[j].number}`);
  card.scrollIntoView({ block: "start", behavior: calm.matches ? "auto" : "smooth" });
  card.focus({ preventScroll: true });
}

function useColour(colour) {
  state.colour = colour;
  usePaint(); // falls back on the pictures where there is no such colour
  $("colour").value = state.colour;
  showLegend();
  repaint(false);
  remember();
}

function showLegend() {
  const legend = $("legend"), entries = [];
  const swatch = (css) => {
    const mark = make("i", { className: "swatch" });
    mark.style.background = css;
    return mark;
  };
  if (state.colour === "cluster") {
    for (let c = 0; c < data.k; c++) entries.push(make("button", { type: "button", title: `Select cluster ${c}`, "data-cluster": c }, swatch(PALETTE[c % PALETTE.length]), String(c)));
  } else if (state.colour === "class") {
    page.classes.forEach((name, c) => entries.push(make("button", { type: "button", title: `Select ${name}`, onclick: () => select(slotsWhere(data.labels, c), `of class ${name}`) },
      swatch(PALETTE[c % PALETTE.length]), name)));
  } else if (state.colour.startsWith("head")) {
    const bar = make("i", { className: "ramp" });
    bar.style.background = `linear-gradient(to right, ${RAMP.join(", ")})`;
    entries.push(headLink(headAt(Number(state.colour.slice(4)))), make("span", {}, "least ", bar, " most"));
  }
  legend.hidden = !entries.length;
  legend.replaceChildren(...entries);
}

function useTheme(theme) {
  state.theme = theme;
  document.documentElement.dataset.theme = theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

async function start() {
  if (!window.DecompressionStream || !window.createImageBitmap) throw new Error("it is too old; any browser from 2023 or later will do");
  await unpack();
  await recall();
  useTheme(state.theme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { useTheme(state.theme); repaint(); });
  $("theme").onclick = () => { useTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"); repaint(); remember(); };
  $("summary").textContent = [count(page.n), page.heads.length && count(page.heads.length, "head"), page.labelled ? "labels shown, never used" : "no labels"].filter(Boolean).join(" · ");
  const colours = [["picture", "pictures only"], ...(page.ks.length ? [["cluster", "cluster"]] : []), ...(data.labels ? [["class", "class"]] : []),
    ...page.heads.map((head, j) => ["head" + head.number, headName(j)])];
  $("colour").append(...colours.map(([value, textContent]) => make("option", { value, textContent })));
  $("colour").onchange = (event) => useColour(event.target.value);
  $("lasso").onclick = () => toggleLasso();
  $("viewed").onclick = () => select(inView(), "in view");
  $("nearer").onclick = () => zoom(1.6);
  $("farther").onclick = () => zoom(1 / 1.6);
  $("whole").onclick = fit;
  document.addEventListener("click", (event) => {
    const of = (key) => event.target.closest?.(`[data-${key}]`)?.dataset[key];
    if (event.target.closest?.("a[data-head], a[data-cluster]")) event.preventDefault();
    if (of("image") !== undefined) openImage(Number(of("image")));
    else if (event.target.closest?.("a[data-head]")) showHead(Number(of("head")));
    else if (of("cluster") !== undefined) selectCluster(Number(of("cluster")));
  });
  for (const type of ["pointerover", "focusin"]) { // an image anywhere on the page shows its place on the map
    $("side").addEventListener(type, (event) => hover(Number(event.target.closest?.("[data-image]")?.dataset.image ?? -1)));
  }
  $("side").addEventListener("pointerleave", () => hover(-1));
  prepareMap();
  usePaint();
  makeTabs();
  resize();
  view.scale = Math.min(width, height) * 0.92;
  for (const [key, , fill, has] of TABS) if (has() && key !== "image") fill();
  fillImage();
  useColour(state.colour);
  showTab(state.tab || (page.heads.length ? "heads" : "image"));
  if (state.terms.length) find();
  if (state.image !== null) showOnMap(state.image);
  listen();
  document.body.classList.add("ready");
}

start().catch((error) => {
  $("summary").textContent = `This browser cannot show the page: ${error.message}.`;
  $("summary").className = "alert";
  throw error;
});
