"use strict";
// Galleries. Each is one stop of the Tab key: arrows, Home and End move inside. An image that was opened from one is
// followed by its next there.

function imageButton(slot, side, note = "") {
  const title = describe(slot) + (note && `, ${note}`);
  const more = { className: data.new?.[slot] ? "image new" : "image", "data-image": slot, "aria-label": title, title };
  const said = note && make("span", {}, note);
  const made = make("button", { type: "button", tabIndex: -1, ...more }, thumb(slot, side), said);
  if (labels.of[slot]) made.dataset.label = labelName(labels.of[slot]);
  return made;
}

const lists = new WeakMap(); // an element with images in it -> {says, slots}
const listing = (element, says, slots) => lists.set(element, { says, slots }) && element;
function listAround(element) {
  for (let of = element; of; of = of.parentElement) if (lists.has(of)) return lists.get(of);
  return null;
}

const stopsIn = (gallery) => [...gallery.querySelectorAll('.image, input[type="checkbox"]')];
function oneStop(gallery) { // make an element with images a gallery
  gallery.dataset.gallery = "";
  stopsIn(gallery).forEach((stop, at) => (stop.tabIndex = at ? -1 : 0));
  return gallery;
}

// Show items some at a time: a folder may hold thousands of what is listed.
function some(items, show, step, className = "grid") {
  const list = make("div", { className });
  const more = button("Show more", (event) => {
    const first = list.children.length;
    list.append(...items.slice(first, first + step).map(show));
    more.hidden = list.children.length >= items.length;
    if (event?.detail === 0) stopsIn(list.children[first])[0]?.focus(); // by a key: there it goes on
  });
  more.onclick();
  return make("div", {}, list, more);
}

// A gallery of images: `show` makes an element of one item, `says` names the whole ("the outliers").
function gallery(says, slots, show, step = 60, className = "grid") {
  const made = some(slots, show, step, className);
  made.firstChild.setAttribute("role", "group");
  made.firstChild.setAttribute("aria-label", sentence(says));
  oneStop(made.firstChild);
  return listing(made, says, slots);
}

function stopBeside(stops, from, key) {
  const at = stops.indexOf(from), down = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (!down) return { ArrowRight: stops[at + 1], ArrowLeft: stops[at - 1], Home: stops[0], End: stops.at(-1) }[key];
  const middle = (box) => box.left + box.width / 2, own = from.getBoundingClientRect();
  let best, least = Infinity;
  for (const stop of stops) {
    const box = stop.getBoundingClientRect(), away = (box.top - own.top) * down;
    const far = away * 1000 + Math.abs(middle(box) - middle(own)); // the next row first, then what is straight below
    if (away > 4 && far < least) [best, least] = [stop, far];
  }
  return best;
}

function moveInGallery(event) {
  const around = event.target.closest("[data-gallery]");
  if (!around || !/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) return false;
  const to = stopBeside(stopsIn(around), event.target, event.key);
  event.preventDefault();
  to?.focus();
  return true;
}

function stopAt(event) { // where Tab comes back to
  const around = event.target.closest("[data-gallery]");
  if (!around || !event.target.matches('.image, input[type="checkbox"]')) return;
  for (const stop of stopsIn(around)) stop.tabIndex = stop === event.target ? 0 : -1;
}
