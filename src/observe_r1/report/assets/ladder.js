// The ladder: how questions are spread, and the heat map of solve rate by rung and time.

// ``pick`` shows the groups of a rung and a span of steps.
function renderLadder(data, pick) {
  const ladder = data.ladder;
  const has = Boolean(ladder.levels.length || ladder.rungs.length || ladder.heat || ladder.families.length);
  return section("ladder", "The ladder",
    ladder.heat && "Questions from easy to hard, and how many completions are right on each rung as training goes on. Choose a cell to see its groups.",
    !has && el("p", { class: "faint" }, "The questions carry no levels or rungs: this run had no ladder."),
    ladder.heat && renderHeat(ladder.heat, pick),
    el("div", { class: "columns" },
      bars("Questions by level", ladder.levels, "level"),
      bars("Questions by rung", ladder.rungs, "rung"),
      bars("Questions by family", ladder.families, "")),
    !ladder.whole && has && el("p", { class: "faint" }, "Counts are of the questions that training has asked so far."),
    Object.keys(ladder.source).length > 0 && details("What the data folder says", facts(Object.entries(ladder.source))));
}

function bars(title, pairs, word) {
  if (!pairs.length) return null;
  const most = Math.max(...pairs.map((pair) => pair[1]));
  return el("div", {}, el("h3", {}, title),
    el("table", { class: "bars" },
      el("thead", { class: "sr" }, el("tr", {},
        el("th", { scope: "col" }, word || "name"), el("th", { scope: "col" }, "questions"))),
      el("tbody", {}, pairs.map(([name, value]) => el("tr", {},
        el("th", { scope: "row" }, name),
        el("td", {}, el("i", { "aria-hidden": "true", style: { width: `${75 * value / most}%` } }),
          count(value)))))));
}

function renderHeat(heat, pick) {
  const readout = el("p", { class: "readout", role: "status" }, "Point at a cell, or walk through the map with the arrow keys.");
  const spanText = (span) => (span[0] === span[1] ? `step ${span[0]}` : `steps ${span[0]}–${span[1]}`);
  const asked = (row, column) => isNumber(heat.rate[row][column]);
  const said = (row, column) => `rung ${heat.rungs[row]}, ${spanText(heat.spans[column])}: ` + (asked(row, column)
    ? `${percent(heat.rate[row][column])} right, ${count(heat.groups[row][column])} groups` : "not asked");
  const cells = heat.rungs.map((rung, row) => heat.spans.map((span, column) => el("td", {
    class: [asked(row, column) ? "seen" : "none", standsAt(heat, column) === row && "here"].filter(Boolean).join(" "),
    style: asked(row, column) ? { "--rate": `${Math.round(100 * heat.rate[row][column])}%` } : {},
    onpointerenter: () => { readout.textContent = said(row, column); },
    onclick: () => asked(row, column) && pick(rung, span),
  }, el("span", { class: "sr" }, asked(row, column) ? percent(heat.rate[row][column]) : "none"))));
  const table = el("table", {},
    el("caption", { class: "sr" }, "Solve rate by rung (rows) and steps (columns)"),
    el("thead", { class: "sr" }, el("tr", {}, el("th", { scope: "col" }, "rung"),
      heat.spans.map((span) => el("th", { scope: "col" }, spanText(span))))),
    el("tbody", {}, heat.rungs.map((rung, row) => el("tr", {}, el("th", { scope: "row" }, rung), cells[row])).reverse()));
  const map = scrollable("Solve rate by rung and step. Arrow keys walk, Enter shows the groups.", table,
    el("div", { class: "axis", "aria-hidden": "true" }, ticks(heat.spans).map((step) => el("span", {}, step))));
  map.addEventListener("keydown", walk(cells, (row, column) => { readout.textContent = said(row, column); }));
  return el("div", { class: "heat" }, map,
    el("div", { class: "scale", "aria-hidden": "true" }, "0 % right", el("i"), "100 % right",
      el("b"), "never asked", el("em"), "trained here", el("span", { class: "push" }, "rung ↑ · step →")),
    readout);
}

// The row of the rung that was trained, on average, in a span of steps.
function standsAt(heat, column) {
  return isNumber(heat.trained[column]) ? nearest(heat.rungs, heat.trained[column]) : -1;
}

function ticks(spans) {
  const wanted = Math.min(spans.length, 6);
  return Array.from({ length: wanted }, (_, place) => {
    const span = spans[Math.round(place * (spans.length - 1) / Math.max(wanted - 1, 1))];
    return `${place ? "" : "step "}${place === wanted - 1 && place ? span[1] : span[0]}`;
  });
}

// Arrow keys move over the cells, Enter chooses one.
function walk(cells, tell) {
  let [row, column] = [0, -1];
  const moves = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const within = (place, length) => Math.min(Math.max(place, 0), length - 1);
  return (event) => {
    if (event.key === "Enter" && column >= 0) return cells[row][column].click();
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return undefined;
    event.preventDefault();
    if (column >= 0) cells[row][column].classList.remove("cursor");
    row = within(row + (column < 0 ? 0 : move[0]), cells.length);
    column = within(column + (column < 0 ? 1 : move[1]), cells[0].length);
    cells[row][column].classList.add("cursor");
    cells[row][column].scrollIntoView({ block: "nearest", inline: "nearest" });
    return tell(row, column);
  };
}

function nearest(values, wanted) {
  let best = 0;
  values.forEach((value, place) => {
    if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = place;
  });
  return best;
}
