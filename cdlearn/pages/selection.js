"use strict";
// What is selected: by the lasso, a search, a cluster, a threshold or a name. And the outliers, a list to select from.

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
  const written = make("textarea", { readOnly: true, rows: 8, "aria-label": "Names of the selected files" });
  const more = slots.length - 2000;
  written.value = listed(slots.slice(0, 2000)) + (more > 0 ? `\n… and ${count(more, "more name")}` : "");
  fill("selection", search, make("h2", {}, text), row(acts()), slots.length > 0 && [
    gallery("the selection", slots, (slot) => imageButton(slot, 84), 60),
    make("h3", {}, "Names, in the order of the files"), written]);
  say(text);
}

const listed = (slots) => inFileOrder(slots).map(fileOf).join("\n");

function csv(slots) { // columns as in the table of images that is written beside the page
  const columns = [["file", fileOf]];
  if (labels.of.some(Boolean)) columns.push(["label", (slot) => (labels.of[slot] ? labelName(labels.of[slot]) : "")]);
  if (data.labels) columns.push(["class", className]);
  const named = (slot) => names.clusters[data.k]?.[clusterOf(slot)] || "";
  if (data.k !== null) columns.push(["cluster", clusterOf], ["cluster_name", named]);
  const column = (j) => names.heads[page.heads[j].number] || `head_${page.heads[j].number}`;
  page.heads.forEach((_, j) => columns.push([column(j), (slot) => output(j, slot).toFixed(2)]));
  return toCsv([columns.map(([name]) => name), ...inFileOrder(slots).map((slot) => columns.map(([, of]) => of(slot)))]);
}

// ---- Outliers

function fillOutliers() {
  const slots = page.outliers.map(([slot]) => slot);
  const told = new Map(page.outliers.map(([slot, score, reason]) => [slot, [digits(score), reason]]));
  fill("outliers", hint(`The strangest images first, each with its reason. The number is the ${page.outlierScore}.`),
    row(button("Select them", () => select(slots, "among the outliers"))),
    gallery("the outliers", slots, (slot) => make("figure", {}, imageButton(slot, 96, told.get(slot)[0]),
      make("figcaption", {}, told.get(slot)[1])), 60));
}

// ---- New since an earlier report

function fillNew() {
  const { run, says, gone, changed } = page.since, slots = slotsWhere((slot) => data.new[slot]);
  const list = (title, files) => files.length > 0 && [make("h3", {}, `${title}: ${files.length.toLocaleString("en")}`),
    make("div", { className: "lines" }, files.join("\n"))];
  fill("new", make("p", { className: "advice" }, says),
    slots.length > 0 && [row(button("Select the new ones", () => select(slots, `new since ${run}`)),
      button("Colour the map", () => useColour("new"))),
      gallery("the new images", slots, (slot) => imageButton(slot, 84), 60)],
    list("No longer there", gone), list("Another file under the same name", changed));
}
