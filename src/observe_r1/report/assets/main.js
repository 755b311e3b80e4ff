const SECTIONS = [
  ["findings", "Health"], ["ran", "Run"], ["table", "Results"], ["curves", "Curves"], ["ladder", "Ladder"], ["groups", "Groups"],
];

class RunPage {
  constructor(source) {
    this.source = source;
    this.charts = new Charts(() => source.plotly());
    this.groups = new Groups(source);
    this.shown = {};
  }

  // Draw everything once; ``parts`` are the pieces that a live page renders anew.
  render(data, back) {
    this.renderTop(data, back);
    this.parts = { summary: renderSummary, findings: renderFindings, ran: renderOverview, table: renderTable,
      ladder: (data) => renderLadder(data, (rung, span) => this.groups.pick(rung, span)) };
    const drawn = (name) => (this.shown[name] = this.parts[name](data));
    replace(document.getElementById("content"), drawn("summary"), drawn("findings"), drawn("ran"),
      drawn("table"), this.charts.render(data.curves, data.averaged), drawn("ladder"), this.groups.render(data.choices));
    foot(data);
  }

  renderTop(data, back) {
    renderTop(document.getElementById("top"), data.name, SECTIONS, back);
  }

  // Only what changed is replaced, so that scrolling, filters and open boxes stay as they are.
  update(data, before) {
    for (const [name, part] of Object.entries(this.parts)) {
      if (part(data).isEqualNode(part(before))) continue;
      const next = part(data);
      const open = [...this.shown[name].querySelectorAll("details")].map((box) => box.open);
      next.querySelectorAll("details").forEach((box, place) => { box.open = Boolean(open[place]); });
      this.shown[name].replaceWith(next);
      this.shown[name] = next;
    }
    this.charts.update(data.curves);
    foot(data);
  }
}

function foot(data) {
  replace(document.getElementById("foot"), `Made by observe-r1 on ${data.generated}. Texts are what a model wrote.`);
}

async function startReport(data) {
  const source = new PageSource();
  const page = new RunPage(source);
  page.render(data);
  await source.load();
  await page.groups.search(0);
  window.observeR1 = { source, page, ready: performance.now() };
  document.documentElement.dataset.ready = "true";
  await page.groups.openNamed();
}

async function startView(data) {
  const source = new LiveSource(data.base);
  if (data.base === "/") return startRuns(source);
  const page = new RunPage(source);
  let shown = await source.fetch("payload");
  const back = (data) => (data.single ? null : "/");
  page.render(shown, back(shown));
  window.observeR1 = { source, page };
  await page.groups.search(0);
  document.documentElement.dataset.ready = "true";
  await page.groups.openNamed();
  const note = el("p", { class: "live", role: "status" });
  document.getElementById("top").append(note);
  const turn = async () => {
    try {
      const state = await source.fetch("state");
      note.textContent = state.text;
      note.hidden = !state.text;
      if (state.revision !== shown.revision || state.single !== shown.single) {
        const next = await source.fetch("payload");
        if (next.single !== shown.single) {
          page.renderTop(next, back(next));
          document.getElementById("top").append(note);
        }
        page.update(next, shown);
        shown = next;
        if (page.groups.offset === 0) await page.groups.search(0, true);
      }
    } catch (error) {
      note.hidden = false;
      note.textContent = `The viewer does not answer (${error.message}). Trying again.`;
    }
    setTimeout(turn, 2000);
  };
  return turn();
}

async function startRuns(source) {
  renderTop(document.getElementById("top"), "Runs", []);
  const list = el("div");
  replace(document.getElementById("content"), section("runs", "Runs", null, list));
  const turn = async () => {
    try {
      const data = await source.fetch("runs");
      replace(list, data.runs.length ? scrollable("Runs", el("table", {},
        el("thead", {}, el("tr", {}, ["Run", "State", "Recipe", "Model", "Accuracy now", "Held-out questions"].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, data.runs.map((run) => el("tr", {},
          el("th", { scope: "row" }, el("a", { href: run.address }, run.name)),
          el("td", {}, run.state), el("td", {}, run.recipe), el("td", {}, run.model),
          el("td", { class: "number" }, percent(run.accuracy, 1)),
          el("td", { class: "number" }, run.held_out ? `${percent(run.held_out.from, 1)} → ${percent(run.held_out.to, 1)}` : "–"))))))
        : el("p", { class: "faint" }, "There is no run in this folder yet. It appears here when one starts."));
    } catch (error) {
      replace(list, el("p", {}, `The viewer does not answer (${error.message}). Trying again.`));
    }
    document.documentElement.dataset.ready = "true";
    setTimeout(turn, 3000);
  };
  return turn();
}

function failed(error) {
  replace(document.getElementById("content"), el("section", { class: "block" },
    el("h1", {}, "The page could not be drawn"), el("p", {}, String(error && error.message || error))));
  console.error(error);
}

setTheme(readTheme());
const payload = JSON.parse(document.getElementById("data-payload").textContent);
const starts = { report: startReport, view: startView, compare: startCompare };
starts[payload.kind](payload).catch(failed);
