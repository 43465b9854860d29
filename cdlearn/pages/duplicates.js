"use strict";
// Near-duplicates: the file to keep first in each group, the others to tick, and lists of what is ticked.
// Nothing here deletes: the script moves files, and only when it is asked to.

const MEANING = {
  "same bytes": "The files are equal.",
  "perceptual hash": "The pictures are nearly equal: resized, compressed, mirrored, cropped or slightly changed.",
  "looks alike to the network":
    "Each is by far the nearest to the other, and roughly the same picture. A hint, no proof: look before you tick.",
};
const ticked = new Map(); // slot of a copy -> its group

function groupOf(group) {
  const made = gallery("the group of near-duplicates", group.images, (slot, at) => {
    const tick = at > 0 && make("input", { type: "checkbox", "data-tick": slot, checked: ticked.has(slot), tabIndex: -1,
      "aria-label": `Tick ${fileOf(slot)}`, onchange: (event) => tickCopy(slot, group, event.target.checked) });
    return make("figure", { className: at ? "" : "kept" }, imageButton(slot, 96), make("figcaption", {},
      at ? make("label", {}, tick, " copy") : make("b", {}, "keep", group.kept ? `: ${group.kept}` : ""),
      make("div", {}, sizeOf(slot)), make("div", {}, fileOf(slot))));
  }, 12);
  return card({}, hint(sentence(group.reason)), made);
}

function tickCopy(slot, group, on) {
  if (on) ticked.set(slot, group);
  else ticked.delete(slot);
  showTicks();
}

function fillDuplicates() {
  fill("duplicates",
    make("div", { className: "sticky row" }, make("span", { id: "ticked" }),
      button("Save list", () => save("duplicates.csv", ticksFile(), "text/csv"), { "data-ticks": "" }),
      button("Save script", () => save("duplicates.sh", ticksScript(), "text/x-shellscript"), { "data-ticks": "" }),
      button("Untick all", () => { ticked.clear(); showTicks(); }, { "data-ticks": "" })),
    hint("In each group the first file is the one to keep: most pixels, then most bytes. The list says which stays ",
      "for each; the script only says what it would move until it is run with --move."),
    page.tiers.map((tier) => {
      const groups = page.duplicates.filter((group) => group.tier === tier);
      const copies = [...new Set(groups.flatMap((group) => group.images.slice(1)))];
      const tickAll = () => {
        for (const group of groups) for (const slot of group.images.slice(1)) ticked.set(slot, group);
        showTicks();
      };
      return [make("h2", {}, `${sentence(tier)}: ${count(groups.length, "group")}`), hint(MEANING[tier]),
        groups.length > 0 && [row(button("Tick all copies", tickAll),
          button("Select all copies", () => select(copies, `that are copies (${tier})`))),
        some(groups, groupOf, 20, "cards")]];
    }));
  showTicks();
}

// [copy, its group, the file that stays for it]: where that one is ticked in another group, what stays for that one.
// Should groups go round in a circle, nothing of it is listed.
function ticks() {
  const listed = [];
  for (const slot of inFileOrder(ticked.keys())) {
    const passed = new Set([slot]);
    let keep = ticked.get(slot).images[0];
    while (ticked.has(keep) && !passed.has(keep)) {
      passed.add(keep);
      keep = ticked.get(keep).images[0];
    }
    if (!passed.has(keep)) listed.push([slot, ticked.get(slot), keep]);
  }
  return listed;
}

function showTicks() {
  const bytes = ticks().reduce((sum, [slot]) => sum + (data.bytes?.[slot] || 0), 0);
  $("ticked").textContent = `${count(ticked.size, "copy").replace("copys", "copies")} ticked` +
    (bytes ? ` · ${ofBytes(bytes)}` : "");
  for (const made of document.querySelectorAll("[data-ticks]")) made.disabled = !ticked.size;
  for (const box of document.querySelectorAll("[data-tick]")) box.checked = ticked.has(Number(box.dataset.tick));
}

const ticksFile = () => toCsv([["file", "keep", "tier", "reason"],
  ...ticks().map(([slot, group, keep]) => [fileOf(slot), fileOf(keep), group.tier, group.reason])]);

// A word of the shell, whatever is in the name; bytes that are no valid text go by their numbers.
const quoted = (name) => `'${name.replaceAll("'", "'\\''")
  .replace(/[\udc80-\udcff]/gu, (byte) => `'"$(printf '\\${(byte.charCodeAt(0) - 0xdc00).toString(8)}')"'`)}'`;

function ticksScript() {
  const lines = ticks().map(([slot, , keep]) => `one ${quoted(fileOf(slot))} ${quoted(fileOf(keep))}`);
  const title = wellFormed(page.title.replace(/[\r\n]+/g, " "));
  return `#!/bin/sh
# ${count(lines.length, "file")} ticked as copies in the report on ${title}.
#   sh duplicates.sh FOLDER          says what would be moved
#   sh duplicates.sh FOLDER --move   moves the copies to FOLDER-copies, for you to look through
# It deletes nothing. A copy stays where the file that is kept for it is missing.
set -eu
folder=\${1:?"usage: sh duplicates.sh FOLDER [--move]"}
folder=\${folder%/}
one() { # the copy, the file that is kept
  if [ ! -f "$folder/$1" ] || [ ! -f "$folder/$2" ]; then printf 'left alone, a file is missing: %s\\n' "$1"
  elif [ "$move" != --move ]; then printf 'would move: %s\\n' "$1"
  elif [ -e "$folder-copies/$1" ]; then printf 'left alone, already in %s: %s\\n' "$folder-copies" "$1"
  else
    to=$folder-copies/$1
    mkdir -p -- "\${to%/*}"
    mv -- "$folder/$1" "$to"
    printf 'moved: %s\\n' "$1"
  fi
}
move=\${2:-}
${lines.join("\n")}
`;
}
