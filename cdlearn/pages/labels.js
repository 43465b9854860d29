"use strict";
// Labels that the reader gives: keys 1 to 9, their names, the file of them, and the images worth labelling first.

function fillLabels() {
  const { labelFirst } = page, file = make("input", { type: "file", id: "labels-file", accept: ".csv,text/csv",
    hidden: true, "aria-label": "File of labels", onchange: readLabels });
  const begin = () => {
    const next = labelFirst.find((slot) => !labels.of[slot]) ?? labelFirst[0];
    openImage(next, true, { says: "those to label first", slots: labelFirst });
  };
  fill("labels",
    hint("Keys 1 to 9 label the image that is open or has the focus; the same key again takes the label away. ",
      "In a list, the next image follows. This browser keeps the labels; save them to use them."),
    make("div", { className: "nine", role: "group", "aria-label": "Names of the labels" },
      Array.from({ length: 9 }, (_, at) => labelRow(at + 1))),
    row(button("Save labels", () => save("labels.csv", labelsFile(), "text/csv")),
      button("Read labels", () => file.click()), file,
      button("Colour the map", () => useColour("label"))),
    hint("Saved as labels.csv, ",
      make("code", {}, 'encoder.linear_probe(folder, pandas.read_csv("labels.csv")["label"])'),
      " learns to give the rest their labels."),
    labelFirst.length > 0 && [make("h2", {}, "Label these first"),
      hint("Typical images that differ from each other: the labels of few say most of many."),
      row(button("Begin", begin)),
      gallery("those to label first", labelFirst, (slot) => imageButton(slot, 84), 100)]);
  showLabels();
}

function labelRow(number) {
  const name = make("input", { maxLength: 60, placeholder: `label ${number}`, "aria-label": `Name of label ${number}`,
    value: labels.names[number] || "" });
  name.onchange = () => {
    if (name.value.trim()) labels.names[number] = name.value.trim();
    else delete labels.names[number];
    keepLabels();
    showLabels();
  };
  const those = () => select(slotsWhere((slot) => labels.of[slot] === number), `labelled ${labelName(number)}`);
  return row(make("kbd", {}, String(number)), name, button("0", those, { "data-count": number }));
}

// Give an image a label, or take it away if it has this one.
function label(slot, number) {
  labels.of[slot] = labels.of[slot] === number ? 0 : number;
  keepLabels();
  showLabels(slot);
  say(labels.of[slot] ? `${labelName(number)}: ${fileOf(slot)}` : `No label: ${fileOf(slot)}`);
}

// A key 1..9: for the image with the focus, else for the open one. Where it was opened from a list, the next follows.
function labelByKey(number) {
  const focused = document.activeElement?.closest(".image[data-image]");
  if (focused) {
    label(Number(focused.dataset.image), number);
    const around = focused.closest("[data-gallery]");
    if (around && labels.of[focused.dataset.image]) stopBeside(stopsIn(around), focused, "ArrowRight")?.focus();
  } else if (state.image !== null && state.tab === "image") {
    const slot = state.image;
    label(slot, number);
    if (labels.of[slot] && trail?.slots.includes(slot) && slot !== trail.slots.at(-1)) stepImage(1);
  }
}

// For a finger or a mouse, beside an image that is open.
function labelButtons(slot) {
  return make("div", { className: "row labelling", role: "group", "aria-label": "Label" },
    Array.from({ length: 9 }, (_, at) => button(labels.names[at + 1] || String(at + 1), () => label(slot, at + 1),
      { "data-number": at + 1, title: `Label ${labelName(at + 1)} (key ${at + 1})` })));
}

// After a change, of one image or of all: marks on images, counts, buttons, and the map where it shows labels.
function showLabels(slot = null) {
  const counts = new Uint32Array(10), of = slot === null ? "" : `="${slot}"`;
  for (const number of labels.of) counts[number]++;
  for (const made of document.querySelectorAll("[data-count]")) {
    const n = counts[made.dataset.count];
    made.textContent = n.toLocaleString("en");
    made.disabled = !n;
    made.setAttribute("aria-label", `Select ${count(n)} labelled ${labelName(made.dataset.count)}`);
  }
  for (const image of document.querySelectorAll(`.image[data-image${of}]`)) {
    const number = labels.of[image.dataset.image];
    if (number) image.dataset.label = labelName(number);
    else delete image.dataset.label;
  }
  for (const made of document.querySelectorAll("[data-number]")) {
    made.textContent = labels.names[made.dataset.number] || made.dataset.number;
    made.setAttribute("aria-pressed", labels.of[state.image] === Number(made.dataset.number));
  }
  if (state.colour === "label") useColour("label");
}

// One row per image in the order of the files, so that the column fits the folder; empty without a label.
function labelsFile() {
  const told = (slot) => (labels.of[slot] ? labelName(labels.of[slot]) : "");
  return toCsv([["file", "label"], ...inFileOrder(data.x.keys()).map((slot) => [fileOf(slot), told(slot)])]);
}

// Read a file of labels back, also one of an earlier report: by the names of the files.
async function readLabels(event) {
  const [head, ...rows] = fromCsv((await event.target.files[0].text()).replace(/^\ufeff/, ""));
  const [file, given] = [head?.indexOf("file"), head?.indexOf("label")], slots = new Map();
  event.target.value = "";
  if (!(file >= 0 && given >= 0)) return notice("That file has no columns file and label.");
  for (let slot = 0; slot < page.n; slot++) slots.set(wellFormed(fileOf(slot)), slot); // as a file can hold it
  const numberOf = new Map(Array.from({ length: 9 }, (_, at) => [labelName(at + 1), at + 1]));
  let [read, unknown, unnamed] = [0, 0, 0];
  for (const cells of rows) {
    const slot = slots.get(cells[file]), name = cells[given];
    if (!name) continue;
    if (!numberOf.has(name)) { // the first number that neither a name nor an image has
      const free = Array.from({ length: 9 }, (_, at) => at + 1).find((n) => !labels.names[n] && !labels.of.includes(n));
      if (free) {
        numberOf.delete(String(free));
        numberOf.set((labels.names[free] = name), free);
      }
    }
    if (slot === undefined) unknown++;
    else if (!numberOf.has(name)) unnamed++;
    else read += Boolean((labels.of[slot] = numberOf.get(name)));
  }
  keepLabels();
  fillLabels();
  notice([`${count(read, "label")} read`, unknown && `${count(unknown, "file")} not in this report`,
    unnamed && `${count(unnamed, "image")} of a tenth label left out`].filter(Boolean).join(", "));
}
