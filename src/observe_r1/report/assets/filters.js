// What can be asked of the groups. The same words are asked of the live viewer's server.

const SORTS = {
  newest: "newest first", oldest: "oldest first", hardest: "lowest solve rate", easiest: "highest solve rate",
  reward: "highest reward", weight: "highest weight", longest: "longest", shortest: "shortest",
};
const OUTCOMES = {
  "": "any outcome", mixed: "right and wrong", right: "all right", wrong: "all wrong",
};
const MARKS = {
  "": "any completion", truncated: "with one cut off", bonus: "with a bonus",
  rejected: "not admitted", admitted: "admitted",
};

class Filters {
  constructor(choices, changed) {
    this.changed = changed;
    const later = after(120, changed);
    const options = (pairs) => pairs.map(([value, word]) => el("option", { value }, word));
    const select = (name, label, pairs) => el("label", {}, label,
      el("select", { name, onchange: changed }, options(pairs)));
    const step = (name, label) => el("label", {}, label, el("input", {
      name, type: "number", inputmode: "numeric", class: "step", oninput: later,
      placeholder: choices.steps ? choices.steps[name === "from" ? 0 : 1] : "",
    }));
    this.form = el("form", { class: "filters", role: "search", "aria-label": "Filter the groups", onsubmit: (event) => event.preventDefault() },
      el("label", { class: "grow" }, "Search all texts", el("input", {
        name: "text", type: "search", autocomplete: "off", spellcheck: "false", oninput: later,
      })),
      step("from", "Steps from"), step("to", "to"),
      choices.rungs.length > 0 && select("rung", "Rung", [["", "any rung"], ...choices.rungs.map((rung) => [rung, `rung ${rung}`])]),
      choices.families.length > 0 && select("family", "Family", [["", "any family"], ...choices.families.map((name) => [name, name])]),
      select("outcome", "Outcome", Object.entries(OUTCOMES)),
      select("mark", "Completions", Object.entries(MARKS)),
      select("sort", "Sort by", Object.entries(SORTS)),
      el("button", { type: "reset", class: "quiet", onclick: () => setTimeout(changed) }, "Clear"));
  }

  // Ask for these things and nothing else.
  set(wanted) {
    this.form.reset();
    for (const [name, value] of Object.entries(wanted)) {
      if (this.form.elements[name]) this.form.elements[name].value = String(value);
    }
    this.changed();
  }

  isEmpty() {
    return Object.keys(this.read()).every((name) => name === "sort");
  }

  read() {
    const entries = [...new FormData(this.form).entries()].filter(([, value]) => value !== "");
    return Object.fromEntries(entries);
  }
}

// Does a group fit? ``haystack`` gives its texts in lower case, and is asked last because it is long.
function fits(group, question, wanted, haystack) {
  const share = group.correct / Math.max(group.size, 1);
  if (wanted.from !== undefined && group.step < Number(wanted.from)) return false;
  if (wanted.to !== undefined && group.step > Number(wanted.to)) return false;
  if (wanted.rung !== undefined && String(question.rung) !== wanted.rung) return false;
  if (wanted.family !== undefined && question.family !== wanted.family) return false;
  if (wanted.outcome === "right" && share < 1) return false;
  if (wanted.outcome === "wrong" && share > 0) return false;
  if (wanted.outcome === "mixed" && (share === 0 || share === 1)) return false;
  if (wanted.mark === "truncated" && !group.truncated) return false;
  if (wanted.mark === "bonus" && !group.bonus) return false;
  if (wanted.mark === "rejected" && group.admitted) return false;
  if (wanted.mark === "admitted" && !group.admitted) return false;
  return wanted.text === undefined || haystack(group).includes(wanted.text.toLowerCase());
}

function sorter(name) {
  const share = (group) => group.correct / Math.max(group.size, 1);
  const newest = (a, b) => b.step - a.step || a.id - b.id;
  const by = {
    newest,
    oldest: (a, b) => a.step - b.step || a.id - b.id,
    hardest: (a, b) => share(a) - share(b) || newest(a, b),
    easiest: (a, b) => share(b) - share(a) || newest(a, b),
    reward: (a, b) => (b.reward ?? -Infinity) - (a.reward ?? -Infinity) || newest(a, b),
    weight: (a, b) => (b.weight ?? -Infinity) - (a.weight ?? -Infinity) || newest(a, b),
    longest: (a, b) => b.tokens - a.tokens || newest(a, b),
    shortest: (a, b) => a.tokens - b.tokens || newest(a, b),
  };
  return by[name] || newest;
}
