// Runs compared: differences with their intervals, curves overlaid, questions won and lost.

const PAIR_PAGE = 20;

function renderRuns(data) {
  return el("section", { class: "block hero", id: "summary", "aria-labelledby": "summary-title" },
    el("h1", { id: "summary-title" }, "Runs compared"),
    scrollable("Runs", el("table", {},
      el("thead", {}, el("tr", {}, ["", "Run", "Recipe", "Model", "Data", "Steps"].map((name) => el("th", { scope: "col" }, name || el("span", { class: "sr" }, "Letter"))))),
      el("tbody", {}, data.runs.map((run, place) => el("tr", {},
        el("td", { class: "number" }, el("i", { class: `swatch ${LINE_COLOURS[place % 8]}` }), ` ${run.letter}`),
        el("th", { scope: "row" }, run.name), el("td", {}, run.recipe), el("td", {}, run.model), el("td", {}, run.data),
        el("td", { class: "number" }, count(run.steps))))))),
    data.problems.length > 0 && el("div", { class: "problems", role: "note" },
      el("strong", {}, "Mind"), el("ul", {}, data.problems.map((problem) => el("li", {}, problem)))));
}

function renderDifferences(data) {
  const most = Math.max(...data.differences.flatMap((row) => [Math.abs(row.low), Math.abs(row.high)]), 0);
  return section("differences", "Differences",
    `Against ${data.runs[0].letter}, on the same questions. A difference whose 95 % interval does not hold zero has a star.`,
    data.differences.length === 0 && el("p", { class: "faint" }, "The runs have no questions in common, so nothing can be paired."),
    data.differences.length > 0 && scrollable("Differences", el("table", {},
      el("thead", {}, el("tr", {}, ["Measured on", "Run", "Difference", "95 % interval", "", data.runs[0].letter, "The run", "Questions", "Won", "Lost"]
        .map((name) => el("th", { scope: "col" }, name || el("span", { class: "sr" }, "Interval drawn"))))),
      el("tbody", {}, data.differences.map((row) => el("tr", {},
        el("th", { scope: "row" }, row.on), el("td", {}, row.run),
        el("td", { class: `number ${row.clear ? (row.value > 0 ? "right" : "wrong") : ""}` }, el("b", {}, signedPoints(row.value)), row.clear && [el("span", { "aria-hidden": "true" }, " *"), el("span", { class: "sr" }, " (clear)")]),
        el("td", { class: "number" }, `${points(row.low)} to ${points(row.high)}`),
        el("td", { class: "wide" }, differenceBar(row, most)),
        el("td", { class: "number" }, percent(row.first, 1)), el("td", { class: "number" }, percent(row.second, 1)),
        el("td", { class: "number" }, count(row.questions)),
        el("td", { class: "number" }, count(row.won)), el("td", { class: "number" }, count(row.lost))))))));
}

// The interval of a difference; zero is in the middle.
function differenceBar(row, most) {
  const place = (value) => 50 + 49 * value / (most || 1);
  return el("span", { class: "interval centred", "aria-hidden": "true" },
    el("i", { class: "range", style: { left: `${place(row.low)}%`, width: `${place(row.high) - place(row.low)}%` } }),
    el("i", { class: "point", style: { left: `${place(row.value)}%` } }));
}

class Pairs {
  constructor(pairs, pictures) {
    this.pairs = pairs;
    this.pictures = pictures;
  }

  render() {
    const options = (values) => values.map((value) => el("option", {}, value));
    const names = [...new Set(this.pairs.map((pair) => pair.title))].reverse();
    this.status = el("p", { class: "status", role: "status" });
    this.list = el("div", { class: "pairs" });
    this.pager = el("div", { class: "pager" });
    const later = after(120, () => this.search(0));
    this.form = el("form", { class: "filters", role: "search", "aria-label": "Filter the questions", onsubmit: (event) => event.preventDefault() },
      el("label", { class: "grow" }, "Text in question or answers", el("input", { name: "text", type: "search", autocomplete: "off", oninput: later })),
      el("label", {}, "Comparison", el("select", { name: "title", onchange: () => this.search(0) }, options(names))),
      el("label", {}, "Outcome", el("select", { name: "outcome", onchange: () => this.search(0) },
        [["", "won and lost"], ["won", "won"], ["lost", "lost"]].map(([value, word]) => el("option", { value }, word)))));
    this.search(0);
    return section("pairs", "Questions won and lost", "Both answers to the questions on which the runs differ, the largest difference first.",
      this.pairs.length ? [this.form, this.status, this.list, this.pager] : el("p", { class: "faint" }, "No question was won or lost."));
  }

  search(offset) {
    const wanted = Object.fromEntries(new FormData(this.form).entries());
    const text = wanted.text.toLowerCase();
    const found = this.pairs.filter((pair) => pair.title === wanted.title
      && (!wanted.outcome || (wanted.outcome === "won") === pair.change > 0)
      && (!text || JSON.stringify(pair).toLowerCase().includes(text)));
    this.status.textContent = found.length ? `${count(found.length)} questions; showing ${offset + 1}–${Math.min(offset + PAIR_PAGE, found.length)}.` : "No question fits.";
    replace(this.list, found.slice(offset, offset + PAIR_PAGE).map((pair) => this.item(pair)));
    const page = (word, place, off) => el("button", { type: "button", class: "quiet", disabled: off, onclick: () => this.search(place) }, word);
    replace(this.pager, page("← Earlier", offset - PAIR_PAGE, offset === 0), page("Later →", offset + PAIR_PAGE, offset + PAIR_PAGE >= found.length));
  }

  item(pair) {
    const question = pair.question;
    const side = (one) => el("article", { class: "completion" },
      el("header", {}, el("b", {}, one.run), verdict(one.correct), el("span", { class: "faint push" }, `${percent(one.share)} of ${one.answers} right`)),
      responseText(one));
    return el("article", { class: "pair" },
      el("p", { class: "about" }, el("b", { class: pair.change > 0 ? "right" : "wrong" }, pair.change > 0 ? "won" : "lost"), ` ${signedPoints(pair.change)}`,
        isNumber(question.rung) && ` · rung ${question.rung}`, question.family && ` · ${question.family}`),
      el("div", { class: "asked" },
        el("div", { class: "pictures" }, question.pictures.map((key, place) => key && this.pictures[key]
          ? el("img", { src: this.pictures[key], alt: `Picture ${place + 1} of the question`, decoding: "async" }) : null)),
        el("div", {},
          el("h3", {}, question.missing ? `Question ${question.id}` : question.text.replace(/<image>/g, "").trim()),
          question.answer && el("p", {}, "gold ", el("b", {}, question.answer)))),
      el("div", { class: "completions" }, pair.sides.map(side)));
  }
}

async function startCompare(data) {
  renderTop(document.getElementById("top"), "Runs compared",
    [["differences", "Differences"], ["curves", "Curves"], ["pairs", "Questions"]]);
  const source = new PageSource();
  const charts = new Charts(() => source.plotly());
  // The groups first: once curves are in view, the plotting library takes the browser's time.
  const packed = JSON.parse(await unpack("groups"));
  const pairs = new Pairs(packed.pairs, packed.pictures);
  replace(document.getElementById("content"), renderRuns(data), renderDifferences(data), charts.render(data.curves, data.averaged),
    el("p", { class: "block textlegendline" }, textLegend()), pairs.render());
  foot(data);
  window.observeR1 = { source, pairs, ready: performance.now() };
  document.documentElement.dataset.ready = "true";
}
