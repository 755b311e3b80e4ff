// The parts that are only shown: top, key numbers, findings, what ran, before and after.

const TONE_WORDS = { serious: "Serious", warning: "Warning", note: "Note", good: "Good" };
const TONE_MARKS = { serious: "✕", warning: "!", note: "i", good: "✓" };

function renderTop(node, title, links, back) {
  replace(node,
    el("div", { class: "bar" },
      el("a", { class: "brand", href: back || "#content" }, back ? "← runs" : "observe-r1"),
      el("nav", { "aria-label": "Sections" },
        links.map(([id, word]) => el("a", { href: `#${id}` }, word))),
      themeButton()));
  document.title = `${title} · observe-r1`;
}

function renderSummary(data) {
  const tiles = data.key.map((entry) => "to" in entry ? changeTile(entry) : el("div", { class: "tile" },
    el("b", {}, "share" in entry ? percent(entry.share, 1) : count(entry.value),
      entry.of && entry.of !== entry.value && el("small", {}, ` of ${count(entry.of)}`)),
    el("span", {}, entry.label)));
  return el("section", { class: "block hero", id: "summary", "aria-labelledby": "summary-title" },
    el("p", { class: `state ${data.state.word}` }, data.state.text),
    el("h1", { id: "summary-title" }, data.name),
    data.overview.paper && el("p", { class: "lead" }, data.overview.paper.summary),
    el("div", { class: "tiles" }, tiles),
    renderStages(data),
    data.notes.map((note) => el("p", { class: "faint" }, note)),
    data.problems.length > 0 && el("div", { class: "problems", role: "note" },
      el("strong", {}, "Not everything could be read"),
      el("ul", {}, data.problems.map((problem) => el("li", {}, problem)))));
}

// The stages of the recipe that have begun; the live viewer leads from one to the other.
function renderStages(data) {
  if (data.stages.length < 2) return null;
  return el("ol", { class: "stages", "aria-label": "Stages" }, data.stages.map((stage) =>
    el("li", { class: stage.shown ? "shown" : null, "aria-current": stage.shown ? "true" : null },
      data.single === false && !stage.shown ? el("a", { href: `/run/${encodeURIComponent(data.beside + stage.name)}/` }, stage.name) : stage.name,
      el("small", {}, stage.done ? ` ${count(stage.steps)} ${stage.steps === 1 ? "step" : "steps"}` : " not finished"))));
}

function changeTile(change) {
  const sure = change.low > 0 ? "right" : change.high < 0 ? "wrong" : "";
  return el("div", { class: "tile gain", title: `${change.first} → ${change.second}, the same ${count(change.questions)} questions` },
    el("b", {}, `${percent(change.from, 1)} → ${percent(change.to, 1)}`),
    el("span", {}, `${change.label}: `, el("em", { class: sure }, signedPoints(change.value)),
      ` (95 %: ${points(change.low)} to ${points(change.high)})`));
}

function renderFindings(data) {
  return section("findings", "Is it healthy?", null,
    el("ul", { class: "findings" }, data.findings.map((found) =>
      el("li", { class: `finding ${found.tone}` },
        el("span", { class: "mark", "aria-hidden": "true" }, TONE_MARKS[found.tone]),
        el("div", {},
          el("strong", {}, el("span", { class: "sr" }, `${TONE_WORDS[found.tone]}: `), found.title),
          el("p", {}, found.text))))),
    data.silent.length > 0 && el("p", { class: "faint lead" }, `Looked at without a finding, or with too little to tell: ${data.silent.join(", ")}.`));
}

function renderOverview(data) {
  const overview = data.overview;
  const paper = overview.paper && overview.paper.title;
  const address = paper && overview.paper.arxiv && `arXiv ${overview.paper.arxiv}`;
  return section("ran", "What ran", null,
    paper && el("p", {}, "Method of ", el("cite", {}, overview.paper.title),
      address && ` (${address})`, "."),
    el("div", { class: "columns" }, overview.blocks.map((block) =>
      el("div", {}, el("h3", {}, block.title), facts(block.facts)))),
    el("h3", {}, "Differences from the paper"),
    overview.deviations.length
      ? el("ul", { class: "plain" }, overview.deviations.map((text) => el("li", {}, text)))
      : el("p", { class: "faint" }, "The run records none."),
    overview.settings.filter((stage) => stage.values.length).map((stage) =>
      details(`Every setting of ${stage.name} (${stage.values.length})`, facts(stage.values))),
    overview.versions.length > 0 && details(`Versions of ${overview.versions.length} packages`, facts(overview.versions)));
}

function interval(share) {
  if (!share || !isNumber(share.value)) return "–";
  const text = percent(share.value, 1);
  if (!isNumber(share.low)) return text;
  return [text, el("small", {}, ` ${percent(share.low, 1)} – ${percent(share.high, 1)}`)];
}

function intervalBar(share) {
  if (!share || !isNumber(share.value)) return null;
  const low = isNumber(share.low) ? share.low : share.value;
  const high = isNumber(share.high) ? share.high : share.value;
  return el("span", { class: "interval", "aria-hidden": "true" },
    el("i", { class: "range", style: { left: `${100 * low}%`, width: `${100 * (high - low)}%` } }),
    el("i", { class: "point", style: { left: `${100 * share.value}%` } }));
}

function renderTable(data) {
  const rows = data.table.rows;
  const columns = ["Evaluation", "Questions", "Accuracy", "", "Lenient", "Format", "Mean tokens", "Cut off"];
  const body = !rows.length
    ? el("p", { class: "faint" }, "No evaluation is recorded. With ‘heldout.data’ held-out questions are measured while training.")
    : scrollable("Evaluations",
      el("table", {},
        el("thead", {}, el("tr", {}, columns.map((name) => el("th", { scope: "col" }, name || el("span", { class: "sr" }, "Interval"))))),
        el("tbody", {}, rows.map((row) => el("tr", {},
          el("th", { scope: "row" }, row.name),
          el("td", { class: "number" }, count(row.questions)),
          el("td", { class: "number" }, interval(row.accuracy)),
          el("td", { class: "wide" }, intervalBar(row.accuracy)),
          el("td", { class: "number" }, row.lenient ? percent(row.lenient.value, 1) : "–"),
          el("td", { class: "number" }, row.format ? percent(row.format.value, 1) : "–"),
          el("td", { class: "number" }, plain(row.tokens, 0)),
          el("td", { class: "number" }, percent(row.truncated, 1)))))));
  return section("table", "Before and after",
    rows.length ? "Accuracy with its 95 % interval; strict reading of answers, as in training." : null,
    data.table.changes.map((change) => el("p", { class: "change" },
      el("strong", {}, signedPoints(change.value)),
      ` from ${change.first} to ${change.second} on the same ${count(change.questions)} questions `,
      `(95 % interval ${points(change.low)} to ${points(change.high)}).`)),
    body, renderParts(rows));
}

function renderParts(rows) {
  const kinds = [["pass_at_k", "Right at least once in k answers (pass@k)"], ["per_level", "By level"],
    ["per_puzzle_level", "By level of the puzzle"], ["per_family", "By family"]];
  return kinds.map(([key, title]) => {
    const names = [...new Set(rows.flatMap((row) => Object.keys(row[key])))].sort(byNumber);
    if (!names.length) return null;
    return details(title, scrollable(title, el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Evaluation"),
        names.map((name) => el("th", { scope: "col" }, key === "pass_at_k" ? `pass@${name}` : name)))),
      el("tbody", {}, rows.filter((row) => Object.keys(row[key]).length).map((row) => el("tr", {},
        el("th", { scope: "row" }, row.name),
        names.map((name) => el("td", { class: "number" }, percent(row[key][name])))))))));
  });
}

function byNumber(a, b) {
  return Number(a) - Number(b) || String(a).localeCompare(String(b));
}
