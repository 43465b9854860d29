"use strict";
// Clusters: K-means for a k of the reader's choice, with the curves that advise on k, or HDBSCAN's; their names.

let lastK = null; // what HDBSCAN's clusters are left for

function fillClusters() {
  lastK = page.k;
  const { ks, density } = page;
  const slider = make("input", { type: "range", id: "k", min: 0, max: ks.length - 1,
    "aria-label": "Number of clusters" });
  slider.oninput = () => setClusters(ks[slider.value]);
  const kind = (text, dense) =>
    button(text, () => setClusters(dense ? "density" : lastK), { "data-dense": String(dense) });
  const measured = [
    ["silhouette", [["K-means", page.silhouette], ["chance", page.chance]]],
    ["stability", [["K-means", page.stability]]],
  ].filter(([, [[, of]]]) => Object.keys(of).length);
  fill("clusters",
    ks.length > 0 && density && make("div", { className: "row", role: "group", "aria-label": "Kind of clusters" },
      kind("K-means", false), kind("HDBSCAN", true)),
    ks.length > 0 && make("div", { id: "by-k" },
      page.advice && make("p", { className: "advice" }, page.advice),
      make("label", { className: "row" }, make("output", { id: "k-now" }), slider),
      make("div", { className: "charts" }, measured.map(([name, lines]) => chart(name, ks,
        lines.map(([says, of]) => ({ says, ys: ks.map((k) => of[k]) })), "clusters k", setClusters))),
      hint("Silhouette: how much nearer images are to their own cluster than to the next; chance: K-means on images ",
        "without clusters. Stability: how well the clusters of two half-samples agree.")),
    density && make("div", { id: "by-density" }, make("p", { className: "advice" }, density.advice),
      hint("HDBSCAN finds dense groups of any shape and leaves out what lies between them.")),
    make("div", { id: "medoids" }), nameFiles());
  showClusters();
}

async function setClusters(k) {
  if (k === askedK || !(await useClusters(k))) return;
  showClusters();
  useColour("cluster");
  if (state.image !== null) fillImage();
  say(k === "density" ? `${page.density.count} clusters by HDBSCAN` : `${k} clusters`);
}

function showClusters() {
  const dense = data.k === "density", panel = $("panel-clusters");
  for (const [id, hidden] of [["by-k", dense], ["by-density", !dense]]) if ($(id)) $(id).hidden = hidden;
  for (const kind of panel.querySelectorAll("[data-dense]")) {
    kind.setAttribute("aria-pressed", String(dense) === kind.dataset.dense);
  }
  if (!dense) {
    $("k").value = page.ks.indexOf(data.k);
    $("k").setAttribute("aria-valuetext", `${data.k} clusters`);
    $("k-now").textContent = `k = ${data.k}`;
    lastK = data.k;
  }
  for (const dot of panel.querySelectorAll("circle")) dot.classList.toggle("now", dot.dataset.x === String(data.k));
  const sizes = new Array(clusterCount()).fill(0), none = dense ? page.density.none : 0;
  for (let slot = 0; slot < page.n; slot++) if (clusterOf(slot) >= 0) sizes[clusterOf(slot)]++;
  const shown = some([...sizes.keys()], (cluster) => clusterCard(cluster, sizes[cluster]), 60);
  oneStop(shown.firstChild);
  const left = none > 0 ? [row(swatch(NONE), clusterLink(-1), make("small", {}, count(none)))] : [];
  $("medoids").replaceChildren(shown, ...left);
}

function clusterCard(cluster, size) {
  const name = make("input", { maxLength: 60, placeholder: "name", "aria-label": `Name of cluster ${cluster}`,
    "data-cluster-name": cluster, value: names.clusters[data.k]?.[cluster] || "" });
  name.onchange = () => {
    (names.clusters[data.k] ??= {})[cluster] = name.value.trim();
    keepNames();
  };
  const medoid = medoids()[cluster] ?? -1;
  return make("div", { className: "medoid" }, medoid >= 0 && imageButton(medoid, 104),
    make("div", {}, swatch(colourAt(cluster)), clusterLink(cluster)), make("small", {}, count(size)), name);
}

const selectCluster = (cluster) => select(slotsWhere((slot) => clusterOf(slot) === cluster),
  `in ${clusterName(cluster)} ${data.k === "density" ? "(HDBSCAN)" : `of ${data.k}`}`);
