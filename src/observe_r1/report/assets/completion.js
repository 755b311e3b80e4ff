// One completion: what it earned, and its text with observe, think and answer in their colours.

const SECTION_COLOURS = {
  observe: "observe", facts: "observe", caption: "observe",
  think: "think", sketch: "think", plan: "think", parallel: "think", path: "think", summary: "think",
  answer: "answer",
};
const MAX_TAGS = 512;

// Text → pieces [text, class]; a section that is never closed reaches to the end.
function pieces(text) {
  const found = [];
  const open = [];
  const pattern = new RegExp(`<(/?)(${Object.keys(SECTION_COLOURS).join("|")})>`, "g");
  let from = 0;
  let tags = 0;
  for (let match = pattern.exec(text); match && tags < MAX_TAGS; match = pattern.exec(text)) {
    tags += 1;
    const inside = open.length ? SECTION_COLOURS[open.at(-1)] : "";
    if (match.index > from) found.push([text.slice(from, match.index), inside]);
    if (match[1]) {
      const place = open.lastIndexOf(match[2]);
      found.push([match[0], `tag ${SECTION_COLOURS[match[2]]}`]);
      if (place >= 0) open.length = place;
    } else {
      open.push(match[2]);
      found.push([match[0], `tag ${SECTION_COLOURS[match[2]]}`]);
    }
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push([text.slice(from), open.length ? SECTION_COLOURS[open.at(-1)] : ""]);
  return found;
}

function responseText(completion) {
  const box = el("div", { class: "response" });
  const limit = 1600;
  const text = completion.text;
  const fill = (all) => {
    const shown = all ? text : text.slice(0, limit);
    replace(box, text === "" ? el("em", { class: "faint" }, "(no text)") : pieces(shown).map(([part, kind]) => el("span", { class: kind || null }, part)));
    if (!all && text.length > limit) {
      add(box, [el("button", { type: "button", class: "more", onclick: () => fill(true) },
        `Show all ${count(text.length)} characters`)]);
    }
    if ((all || text.length <= limit) && completion.left_out) {
      add(box, [el("em", { class: "faint" }, ` … ${count(completion.left_out)} more characters were left out`)]);
    }
  };
  fill(false);
  return box;
}

function verdict(correct) {
  return el("span", { class: correct ? "right" : "wrong" }, correct ? "✓ correct" : "✗ wrong");
}

function completionCard(completion, most) {
  const parts = Object.entries(completion.rewards);
  return el("article", { class: "completion", "aria-label": `Completion ${completion.index + 1}` },
    el("header", {}, el("b", {}, `#${completion.index + 1}`), verdict(completion.correct),
      completion.bonus > 0 && el("span", { class: "chip star" }, "★ bonus"),
      completion.truncated && el("span", { class: "chip cut" }, "cut off"),
      el("span", { class: "faint push" }, `${count(completion.tokens)} tokens`)),
    el("p", { class: "earned" },
      parts.map(([name, value], place) => [place > 0 && " + ", el("span", {}, `${name} ${plain(value)}`)]),
      completion.bonus ? [parts.length > 0 && " + ", el("span", {}, `bonus ${plain(completion.bonus)}`)] : null,
      " = ", el("b", {}, plain(completion.reward))),
    advantageBar(completion.advantage, most),
    responseText(completion));
}

function advantageBar(advantage, most) {
  const known = isNumber(advantage);
  const width = known && most > 0 ? 50 * Math.min(Math.abs(advantage) / most, 1) : 0;
  return el("p", { class: "advantage" },
    el("span", {}, `advantage ${signed(advantage)}`),
    el("span", { class: "beam", "aria-hidden": "true" }, el("i", {
      class: known && advantage < 0 ? "down" : "up",
      style: { width: `${width}%`, left: `${known && advantage < 0 ? 50 - width : 50}%` },
    })));
}

// What stands in the last answer tags; null where nothing does. No pattern: texts may be hostile.
function lastAnswer(text) {
  const end = text.lastIndexOf("</answer>");
  const start = end < 0 ? -1 : text.lastIndexOf("<answer>", end);
  return start < 0 ? null : text.slice(start + 8, end).trim();
}

// The answers of a group and how often each was given, the most common first.
function answersOf(group) {
  const counts = new Map();
  for (const completion of group.completions) {
    const answer = lastAnswer(completion.text);
    const key = JSON.stringify([answer, completion.correct]);
    const found = counts.get(key) || { answer, correct: completion.correct, times: 0 };
    found.times += 1;
    counts.set(key, found);
  }
  return [...counts.values()].sort((a, b) => b.times - a.times);
}

function answerChips(group) {
  const found = answersOf(group);
  if (found.every((one) => one.answer === null)) return null;
  const shown = found.slice(0, 8);
  const left = found.slice(8).reduce((sum, one) => sum + one.times, 0);
  return el("p", { class: "answers" }, el("span", { class: "faint" }, "answers given"),
    shown.map((one) => el("span", { class: `given ${one.correct ? "right" : "wrong"}` },
      el("span", { class: "sr" }, one.correct ? "correct: " : "wrong: "),
      el("b", {}, one.answer === null ? "none" : short(one.answer, 28) || "empty"), one.times > 1 && ` × ${one.times}`)),
    left > 0 && el("span", { class: "faint" }, `and ${left} more`));
}

function textLegend() {
  return el("p", { class: "textlegend" },
    ["observe", "think", "answer"].map((kind) => el("span", { class: kind }, kind)),
    el("span", { class: "faint" }, "what it saw, how it reasoned, what it answered"));
}

const COMPLETION_ORDERS = {
  "in order": (a, b) => a.index - b.index,
  "highest reward": (a, b) => (b.reward ?? -Infinity) - (a.reward ?? -Infinity) || a.index - b.index,
  "highest advantage": (a, b) => (b.advantage ?? -Infinity) - (a.advantage ?? -Infinity) || a.index - b.index,
  shortest: (a, b) => a.tokens - b.tokens || a.index - b.index,
  longest: (a, b) => b.tokens - a.tokens || a.index - b.index,
};
