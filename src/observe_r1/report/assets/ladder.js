// The ladder: how questions are spread, and the heat map of solve rate by rung and time.

function renderLadder(data) {
  const ladder = data.ladder;
  const has = ladder.levels.length || ladder.rungs.length || ladder.heat || ladder.families.length;
  return section("ladder", "The ladder",
    "Questions from easy to hard. The heat map shows how many completions are right on each rung as training goes on; outlined cells are where training stands.",
    !has && el("p", { class: "faint" }, "The questions carry no levels or rungs: this run had no ladder."),
    ladder.heat && renderHeat(ladder.heat),
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

function renderHeat(heat) {
  const readout = el("p", { class: "readout", role: "status" }, "Point at a cell, or walk through the table, to read it.");
  const spanText = (span) => (span[0] === span[1] ? `step ${span[0]}` : `steps ${span[0]}–${span[1]}`);
  const rows = heat.rungs.map((rung, row) => [rung, row]).reverse().map(([rung, row]) =>
    el("tr", {}, el("th", { scope: "row" }, rung),
      heat.spans.map((span, column) => {
        const rate = heat.rate[row][column];
        const here = isNumber(heat.trained[column]) && nearest(heat.rungs, heat.trained[column]) === row;
        const said = isNumber(rate)
          ? `rung ${rung}, ${spanText(span)}: ${percent(rate)} right, ${heat.groups[row][column]} groups`
          : `rung ${rung}, ${spanText(span)}: not asked`;
        return el("td", {
          class: `${isNumber(rate) ? "" : "none"}${here ? " here" : ""}`,
          style: isNumber(rate) ? { "--rate": `${Math.round(100 * rate)}%` } : {},
          onpointerenter: () => { readout.textContent = said; },
        }, el("span", { class: "sr" }, isNumber(rate) ? percent(rate) : "none"));
      })));
  return el("div", { class: "heat" },
    scrollable("Solve rate by rung and step", el("table", {},
      el("caption", { class: "sr" }, "Solve rate by rung (rows) and steps (columns)"),
      el("thead", { class: "sr" }, el("tr", {}, el("th", { scope: "col" }, "rung"),
        heat.spans.map((span) => el("th", { scope: "col" }, spanText(span))))),
      el("tbody", {}, rows))),
    el("div", { class: "axis", "aria-hidden": "true" },
      el("span", {}, `step ${heat.spans[0][0]}`), el("span", {}, "rung ↑  ·  step →"),
      el("span", {}, `step ${heat.spans.at(-1)[1]}`)),
    el("div", { class: "scale", "aria-hidden": "true" }, "0 % right", el("i"), "100 % right",
      el("b"), "never asked", el("em"), "trained here"),
    readout);
}

function nearest(values, wanted) {
  let best = 0;
  values.forEach((value, place) => {
    if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = place;
  });
  return best;
}
