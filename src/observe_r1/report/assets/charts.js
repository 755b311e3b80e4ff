// Curves, drawn by Plotly when they come into view; one smoothing, one step range for all of them.

const LINE_COLOURS = ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];

class Charts {
  constructor(loadPlotly) {
    this.loadPlotly = loadPlotly;
    this.smoothing = 0.6;
    this.range = null;
    this.cards = new Map();
    this.drawing = Promise.resolve();
    this.seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) this.drawSoon(entry.target.dataset.panel);
      }
    }, { rootMargin: "300px" });
    themeListeners.push(() => this.redraw());
  }

  render(panels, averaged) {
    this.grid = el("div", { class: "charts" });
    this.rest = el("div", { class: "charts" });
    const node = section("curves", "Curves",
      "Pale lines are what was measured, strong ones its smoothed course. Drag across a curve to look at some steps only; every curve follows. Double click to see all."
        + (averaged ? " The run is long: each point is the mean over a few steps." : ""),
      this.controls(), this.grid,
      el("details", { class: "more" }, el("summary", {}, "More metrics"), this.rest));
    this.update(panels);
    return node;
  }

  controls() {
    const shown = el("output", { for: "smoothing" }, this.smoothing.toFixed(2));
    const slider = el("input", {
      id: "smoothing", type: "range", min: 0, max: 0.98, step: 0.02, value: this.smoothing,
      oninput: (event) => {
        this.smoothing = Number(event.target.value);
        shown.textContent = this.smoothing.toFixed(2);
        this.redraw();
      },
    });
    const bound = (label, place) => el("label", {}, label, " ", el("input", {
      type: "number", inputmode: "numeric", class: "step", "data-bound": place,
      onchange: () => this.readRange(),
    }));
    this.bounds = el("span", { class: "bounds" }, bound("Steps from", "0"), bound("to", "1"));
    return el("div", { class: "controls" },
      el("label", { for: "smoothing" }, "Smoothing"), slider, shown, this.bounds,
      el("button", { type: "button", class: "quiet", onclick: () => this.zoom(null) }, "All steps"));
  }

  readRange() {
    const [from, to] = [...this.bounds.querySelectorAll("input")].map((input) => input.value);
    if (from === "" && to === "") return this.zoom(null);
    const all = [...this.cards.values()].flatMap((card) => card.panel.steps);
    const range = [from === "" ? Math.min(...all) : Number(from), to === "" ? Math.max(...all) : Number(to)];
    return this.zoom(range, true);
  }

  update(panels) {
    for (const panel of panels) {
      const card = this.cards.get(panel.id);
      if (card) {
        card.panel = panel;
        this.label(card);
        if (card.drawn) this.draw(panel.id);
      } else this.addCard(panel);
    }
    const more = this.rest.parentNode;
    more.hidden = !this.rest.childElementCount;
    more.open ||= !this.grid.childElementCount;
  }

  addCard(panel) {
    const plot = el("div", { class: "plot", "data-panel": panel.id });
    const card = { panel, plot, hidden: new Set(), drawn: false, legend: el("div", { class: "legend" }), table: el("div") };
    card.figure = el("figure", { class: "chart" },
      el("figcaption", {}, el("h3", {}, panel.title), panel.unit && el("span", { class: "unit" }, panel.unit)),
      panel.help && el("p", { class: "help" }, panel.help),
      plot, card.legend,
      el("details", { class: "values", ontoggle: (event) => event.target.open && this.fillTable(card) },
        el("summary", {}, "Values"), card.table));
    this.cards.set(panel.id, card);
    this.label(card);
    (panel.other ? this.rest : this.grid).append(card.figure);
    this.seen.observe(plot);
  }

  label(card) {
    const said = card.panel.series.map((series) => `${series.name}: ${describe(card.panel.steps, series.values)}`);
    card.plot.setAttribute("role", "img");
    card.plot.setAttribute("aria-label", `${card.panel.title}. ${said.join(". ")}`);
    replace(card.legend, card.panel.series.map((series, place) => {
      const last = series.values.findLast(isNumber);
      return el("button", {
        type: "button", "aria-pressed": String(!card.hidden.has(series.name)),
        onclick: (event) => {
          const off = card.hidden.delete(series.name) || !card.hidden.add(series.name);
          event.currentTarget.setAttribute("aria-pressed", String(off));
          this.draw(card.panel.id);
        },
      }, el("i", { class: `swatch ${LINE_COLOURS[place % 8]}` }), series.name,
        el("small", {}, ` ${card.panel.unit === "share" ? percent(last, 1) : plain(last)}`));
    }));
  }

  fillTable(card) {
    const { steps, series } = card.panel;
    const every = Math.max(1, Math.ceil(steps.length / 60));
    const kept = steps.map((step, place) => place).filter((place) => place % every === 0 || place === steps.length - 1);
    replace(card.table, scrollable(`${card.panel.title}, values`, el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "step"), series.map((one) => el("th", { scope: "col" }, one.name)))),
      el("tbody", {}, kept.map((place) => el("tr", {}, el("th", { scope: "row" }, steps[place]),
        series.map((one) => el("td", { class: "number" }, plain(one.values[place])))))))));
  }

  redraw() {
    for (const [id, card] of this.cards) if (card.drawn) this.draw(id);
  }

  // One after the other, with room for clicks and keys in between: each takes a tenth of a second.
  drawSoon(id) {
    const pause = () => new Promise((resolve) => setTimeout(resolve));
    this.drawing = this.drawing.then(pause).then(() => this.draw(id)).catch(console.error);
  }

  async draw(id) {
    const card = this.cards.get(id);
    const Plotly = await this.loadPlotly();
    await Plotly.react(card.plot, this.traces(card), this.layout(card), {
      displayModeBar: false, responsive: true, showTips: false, doubleClick: false,
    });
    if (!card.drawn) {
      card.drawn = true;
      card.plot.on("plotly_relayout", (change) => this.onRelayout(change));
      card.plot.on("plotly_doubleclick", () => this.zoom(null));
    }
  }

  onRelayout(change) {
    if (change["xaxis.range[0]"] !== undefined) this.zoom([change["xaxis.range[0]"], change["xaxis.range[1]"]]);
  }

  zoom(range, typed) {
    const valid = range && range.every(isNumber) && range[1] > range[0] ? range : null;
    this.range = valid;
    // What someone is typing is theirs; a drag across a curve is written into the boxes.
    if (!typed) [...this.bounds.querySelectorAll("input")].forEach((input, place) => {
      input.value = valid ? String(Math.round(valid[place])) : "";
    });
    this.redraw();
  }

  traces(card) {
    const share = card.panel.unit === "share";
    return card.panel.series.flatMap((series, place) => {
      if (card.hidden.has(series.name)) return [];
      const line = colour(LINE_COLOURS[place % 8]);
      const smooth = smoothed(series.values, this.smoothing);
      const base = { x: card.panel.steps, mode: card.panel.steps.length > 2 ? "lines" : "lines+markers", type: "scatter", connectgaps: true };
      const name = inert(series.name);
      const shown = share ? ":.1%" : ":.4~g";
      const raw = { ...base, y: series.values, name, opacity: 0.28, line: { color: line, width: 1 }, hoverinfo: "skip" };
      const drawn = { ...base, y: smooth, name, customdata: series.values,
        hovertemplate: `${name} %{customdata${shown}}<extra></extra>`, line: { color: line, width: 2 } };
      return this.smoothing > 0 ? [raw, drawn] : [drawn];
    });
  }

  layout(card) {
    const grid = colour("line");
    const values = card.panel.series.flatMap((series) => series.values.filter(isNumber));
    const [low, high] = [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
    const large = Math.max(Math.abs(low), Math.abs(high)) >= 1000;
    const flat = low === high && low !== 0; // Plotly would zoom into the last digits
    const touch = matchMedia("(pointer: coarse)").matches;
    const axis = { gridcolor: grid, linecolor: grid, zeroline: false, tickfont: { size: 11 } };
    const [first, last] = this.range || [card.panel.steps[0], card.panel.steps.at(-1)];
    const few = last - first < 8; // a tick a step: others would be halves, shown twice
    return {
      height: 220, margin: { l: 50, r: 10, t: 8, b: 28 }, showlegend: false, hovermode: "x unified",
      dragmode: touch ? false : "zoom", paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: colour("faint") },
      hoverlabel: { bgcolor: colour("card"), bordercolor: grid, font: { color: colour("ink") } },
      xaxis: { ...axis, showgrid: false, ...(few ? { dtick: 1 } : { nticks: 8 }), ...(this.range ? { range: this.range, autorange: false } : { autorange: true }), tickformat: "d", hoverformat: "d", unifiedhovertitle: { text: "step %{x}" } },
      yaxis: { ...axis, fixedrange: true, nticks: 5, tickformat: card.panel.unit === "share" ? "~%" : large ? "~s" : ".6~g",
        ...(flat ? { range: [Math.min(0, 1.25 * low), Math.max(0, 1.25 * low)] } : {}),
        ...(card.panel.unit === "share" ? { rangemode: "tozero" } : {}) },
    };
  }
}

// An exponential mean that does not lean on its first value; gaps stay gaps.
function smoothed(values, weight) {
  if (weight <= 0) return values;
  let sum = 0;
  let total = 0;
  return values.map((value) => {
    if (!isNumber(value)) return null;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}

// Plotly reads a little markup in labels; a metric's name is text.
function inert(name) {
  return name.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/%\{/g, "%\u200b{");
}

function describe(steps, values) {
  const known = values.map((value, place) => [steps[place], value]).filter((pair) => isNumber(pair[1]));
  if (!known.length) return "no values";
  const high = known.reduce((best, pair) => (pair[1] > best[1] ? pair : best));
  const [first, last] = [known[0], known.at(-1)];
  return `${plain(first[1])} at step ${first[0]}, ${plain(last[1])} at step ${last[0]}, highest ${plain(high[1])} at step ${high[0]}`;
}
