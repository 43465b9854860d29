"use strict";
// The run: tests without labels, curves, the account of all files, settings; and how a chart is drawn.

function drawn(tag, properties, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
  node.append(...children.flat());
  return node;
}

function short(value) {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return value && Math.abs(value) < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

// Lines over numbers, with axes named; `lines` are {says, ys}, the first drawn solid, others dashed.
// `act(x)`, when given, is what a click on a point of the first does.
function chart(title, xs, lines, axis, act = null) {
  const pointsOf = ({ ys }) => xs.map((x, i) => [x, ys[i]]).filter(([, y]) => typeof y === "number");
  const all = lines.map((line) => ({ says: line.says ?? title, points: pointsOf(line) }))
    .filter((of) => of.points.length);
  if (!all.length) return "";
  const points = all[0].points, values = all.flatMap((of) => of.points.map(([, y]) => y));
  const [left, right, top, bottom] = [54, 250, 10, 102], [first, last] = [xs[0], xs.at(-1)];
  const low = Math.min(...values), high = Math.max(...values);
  const X = (x) => (first === last ? (left + right) / 2 : left + ((x - first) / (last - first)) * (right - left));
  const Y = (y) => (low === high ? (top + bottom) / 2 : bottom - ((y - low) / (high - low)) * (bottom - top));
  const words = (x, y, anchor, text) => drawn("text", { x, y, "text-anchor": anchor }, String(text));
  const dots = (act || points.length === 1 ? points : []).map(([x, y]) => {
    const r = points.length > 12 ? 3 : 4, dot = drawn("circle", { cx: X(x), cy: Y(y), r, "data-x": x },
      drawn("title", {}, `${x}: ${short(y)}`));
    if (act) dot.addEventListener("click", () => act(x));
    return dot;
  });
  const path = (of) => "M" + of.map(([x, y]) => `${X(x).toFixed(1)} ${Y(y).toFixed(1)}`).join("L");
  const paths = all.map((of, at) => drawn("path", { class: at ? "line dashed" : "line", d: path(of.points) }));
  const told = ({ says, points }) => {
    const ys = points.map(([, y]) => y);
    return `${says}: from ${short(ys[0])} to ${short(ys.at(-1))}, lowest ${short(Math.min(...ys))}, ` +
      `highest ${short(Math.max(...ys))}`;
  };
  const label = `${title} against ${axis}. ${all.map(told).join("; ")}`;
  return make("figure", { className: "chart" },
    make("figcaption", {}, title, all.length > 1 && all.map(({ says }, at) =>
      make("small", { className: at ? "key dashed" : "key" }, says))),
    drawn("svg", { viewBox: "0 0 260 140", role: "img", "aria-label": label },
      drawn("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }),
      words(left - 6, Y(high) + 4, "end", short(high)),
      low < high ? words(left - 6, Y(low) + 4, "end", short(low)) : [],
      words(X(first), bottom + 17, "middle", first), first < last ? words(right, bottom + 17, "end", last) : [],
      words((left + right) / 2, bottom + 34, "middle", axis), paths, dots));
}

function fillRun() {
  const { ledger, notes, curves } = page, first = curves.columns.indexOf("epoch");
  const epochs = curves.rows.map((row, i) => row[first] ?? i + 1);
  const lines = curves.columns.map((name, at) => [name, curves.rows.map((row) => row[at])])
    .filter(([name, ys]) => name !== "epoch" && ys.some((y) => typeof y === "number"));
  const total = (of = 0) => (typeof of === "number" ? of : of.length ?? Object.values(of).reduce((a, b) => a + b, 0));
  const listOf = (title, items = [], line) => items.length > 0 && make("details", { open: true },
    make("summary", {}, `${title}: ${items.length.toLocaleString("en")}`),
    make("div", { className: "lines", tabIndex: 0, role: "region", "aria-label": title }, items.map(line).join("\n")));
  const many = (n, of) => `${n.toLocaleString("en")} ${of}`;
  const parts = ["used", "ignored", "unreadable", "repeated"].map((name) => many(total(ledger[name]), name));
  const endings = Object.entries(ledger.ignored || {}).map(([ending, n]) => many(n, ending || "without"));
  const tests = Object.entries(page.tests);
  fill("run",
    page.recipe && make("p", { className: "recipe" }, `Trained as ${page.recipe}.`),
    tests.length > 0 && [make("h2", {}, "Measured without labels"), tests.map(([name, text]) =>
      make("p", {}, make("b", {}, `${sentence(name)}: `), text))],
    lines.length > 0 && [make("h2", {}, "Training"),
      make("div", { className: "charts" }, lines.map(([name, ys]) => chart(name, epochs, [{ ys }], "epoch")))],
    ledger.found !== undefined && [make("h2", {}, "Every file accounted for"),
      make("p", { className: "ledger" }, `${many(ledger.found, "found")} = ${parts.join(" + ")}`),
      endings.length > 0 && make("p", {}, `Ignored, by their endings: ${endings.join(", ")}`),
      listOf("Unreadable", ledger.unreadable, ([name, reason]) => `${name}: ${reason}`),
      listOf("Repeated", ledger.repeated, ([name, first]) => `${name} = ${first}`)],
    (ledger.notes || []).map((text) => make("p", {}, text)),
    Object.keys(notes).length > 0 && [make("h2", {}, "Settings"), make("table", {}, make("tbody", {},
      Object.entries(notes).map(([name, value]) =>
        make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)))))]);
}
