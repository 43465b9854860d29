"use strict";
// One image: its whole picture, what is known of it, its neighbours and heads; and the way to the next.

let trail = null; // the list that the image was opened from, {says, slots}

function openImage(slot, move = true, list = trail) {
  leave();
  trail = list;
  state.image = slot;
  showTab("image");
  fillImage();
  scroller().scrollTop = Math.min(scroller().scrollTop, narrow.matches ? $("side").offsetTop : 0);
  if ($("side").contains(document.activeElement)) $("panel-image").focus({ preventScroll: true });
  if (move) showOnMap(slot);
  redraw();
  say(`Image ${describe(slot)}`);
}

// Where the image stands: in the list it was opened from, in the selection, or along the map.
function placeOf(slot) {
  for (const list of [trail, selection && { says: "the selection", slots: selection.slots }]) {
    const at = list ? list.slots.indexOf(slot) : -1;
    if (at >= 0) return { at, total: list.slots.length, says: list.says, slotAt: (to) => list.slots[to] };
  }
  return { at: slot, total: page.n, says: "the images along the map", slotAt: (to) => to };
}

function stepImage(by) {
  if (state.image === null) return;
  const { at, total, says, slotAt } = placeOf(state.image), to = at + by;
  if (to < 0 || to >= total) return notice(`That is the ${by < 0 ? "first" : "last"} image of ${says}.`);
  openImage(slotAt(to));
}

function wholePicture(slot) {
  const picture = thumb(slot, 340, true);
  if (page.link === null) return picture;
  const address = page.link + fileOf(slot).split("/").map(addressed).join("/");
  const original = make("img", { alt: "", hidden: true, onload: () => {
    const larger = original.naturalWidth * original.naturalHeight > picture.width * picture.height;
    if (larger) picture.replaceWith(original); // else it has no more to show
    original.hidden = false;
  } });
  original.src = address; // a kind of file that the browser cannot show leaves the picture there
  return make("a", { href: address, target: "_blank", rel: "noopener", title: "Open the original" }, picture);
}

// Part of a name as an address has it, with the bytes of names that are no valid text, as the system knows them.
function addressed(part) {
  const byte = (piece) => "%" + (piece.charCodeAt(0) - 0xdc00).toString(16).toUpperCase();
  return part.split(/([\udc80-\udcff])/u)
    .map((piece, at) => (at % 2 ? byte(piece) : encodeURIComponent(wellFormed(piece)))).join("");
}

function fillImage() {
  const slot = state.image;
  if (slot === null) {
    const how = "Choose an image: on the map, in a gallery or in a list.";
    return fill("image", hint(how, " Its neighbours, clusters and heads appear here."));
  }
  const { at, total, says } = placeOf(slot), near = neighboursOf(slot);
  const strange = page.outliers.findIndex(([other]) => other === slot);
  const [, score, reason] = page.outliers[strange] ?? [];
  const groups = page.duplicates.filter((group) => group.images.includes(slot));
  const heads = page.heads.map((_, j) => ({ j, at: rank(j, slot) })).sort((a, b) => b.at - a.at);
  const half = Math.min(6, Math.ceil(heads.length / 2));
  fill("image",
    row(button("‹ Previous", () => stepImage(-1), { disabled: at === 0, title: "Previous image (k or ←)" }),
      button("Next ›", () => stepImage(1), { disabled: at === total - 1, title: "Next image (j or →)" }),
      make("small", {}, `${(at + 1).toLocaleString("en")} of ${total.toLocaleString("en")}: ${says}`)),
    make("div", { className: "one" }, wholePicture(slot), make("div", {},
      make("h2", { className: "file" }, fileOf(slot)),
      sizeOf(slot) && make("p", {}, sizeOf(slot)),
      data.labels && make("p", {}, `class: ${className(slot)}`),
      data.k !== null && make("p", {}, "in ", clusterLink(clusterOf(slot)),
        data.k === "density" ? " (HDBSCAN)" : ` of ${data.k}`),
      strange >= 0 && make("p", {}, `outlier number ${strange + 1}${reason ? `: ${reason}` : ""} (${digits(score)})`),
      data.new?.[slot] > 0 && make("p", {}, `new since ${page.since.run}`),
      labelButtons(slot),
      row(button("Show on the map", () => showOnMap(slot)),
        button("Copy its name", () => copy(fileOf(slot), "the name"))))),
    near.length > 0 && [make("h3", {}, "Nearest images"),
      gallery(`the images nearest to ${fileOf(slot)}`, near, (other) => imageButton(other, 84), 24)],
    heads.length > 0 && [make("h3", {}, "Its heads"),
      hint("The fraction of images whose output of the head is below this one's."),
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
