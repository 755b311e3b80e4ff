// The groups: a list that filters and sorts, and one group in full beside it.

const PAGE = 25;

class Groups {
  constructor(source) {
    this.source = source;
    this.offset = 0;
    this.chosen = null;
    this.asked = 0;
    this.order = "in order";
  }

  render(choices) {
    this.filters = new Filters(choices, () => this.search(0));
    this.status = el("p", { class: "status", role: "status" }, "Unpacking the groups …");
    this.list = el("ol", { class: "list", "aria-label": "Groups" });
    this.pager = el("div", { class: "pager" });
    this.detail = el("div", { class: "detail", tabindex: "-1", role: "region", "aria-label": "The chosen group" });
    this.note = el("p", { class: "faint" });
    this.list.addEventListener("keydown", (event) => this.onKey(event));
    return section("groups", "Groups",
      "Every question with all its completions side by side.",
      this.note, this.filters.form, this.status,
      el("div", { class: "panes" }, el("div", { class: "left" }, this.list, this.pager), this.detail));
  }

  onKey(event) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    const buttons = [...this.list.querySelectorAll("button")];
    const next = buttons[buttons.indexOf(document.activeElement) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }

  async search(offset, quiet) {
    const asked = (this.asked += 1);
    this.offset = offset;
    const answer = await this.source.query(this.filters.read(), offset, PAGE);
    if (asked !== this.asked) return;
    this.note.textContent = this.source.note || "";
    this.showList(answer);
    if (!quiet && answer.groups.length && !answer.groups.some((group) => group.id === this.chosen)) {
      await this.show(answer.groups[0].id);
    }
    if (!answer.groups.length && !quiet) {
      this.chosen = null;
      replace(this.detail);
    }
  }

  showList(answer) {
    const last = this.offset + answer.groups.length;
    const found = answer.partial ? `at least ${count(answer.total)}` : count(answer.total);
    this.status.textContent = answer.total
      ? `${found} groups; showing ${this.offset + 1}–${last}.${answer.text ? ` ${answer.text}` : ""}`
      : `${this.filters.isEmpty() ? "No completions are recorded." : "No group fits."}${answer.text ? ` ${answer.text}` : ""}`;
    replace(this.list, answer.groups.map((group) => this.item(group)));
    const page = (word, offset, off) => el("button", {
      type: "button", class: "quiet", disabled: off, onclick: () => this.search(offset),
    }, word);
    replace(this.pager,
      page("← Earlier", Math.max(this.offset - PAGE, 0), this.offset === 0),
      page("Later →", this.offset + PAGE, !answer.partial && last >= answer.total),
      answer.next !== undefined && el("button", { type: "button", class: "quiet", onclick: () => this.searchOn(answer.next) }, "Search on"));
  }

  async searchOn(cursor) {
    const answer = await this.source.query({ ...this.filters.read(), cursor }, 0, PAGE);
    this.offset = 0;
    this.showList(answer);
  }

  item(group) {
    const question = group.question;
    const chosen = group.id === this.chosen;
    return el("li", {}, el("button", {
      type: "button", class: "item", "aria-current": chosen ? "true" : null, "data-id": group.id,
      onclick: () => this.show(group.id, true),
    },
    el("span", { class: "itemtop" },
      el("b", {}, `step ${group.step}`),
      isNumber(question.rung) && el("span", {}, `rung ${question.rung}`),
      question.family && el("span", {}, question.family),
      group.truncated > 0 && el("span", { class: "cut" }, "cut off"),
      !group.admitted && el("span", {}, "not admitted")),
    el("span", { class: "itemtext" }, short(question.text || question.id, 110)),
    el("span", { class: "itemend" }, dots(group), el("span", {}, `${group.correct} of ${group.size} right`),
      el("span", { class: "push" }, `reward ${plain(group.reward, 2)}`))));
  }

  async show(id, move) {
    const group = await this.source.group(id);
    this.chosen = id;
    for (const button of this.list.querySelectorAll("button")) {
      if (button.dataset.id === String(id)) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    if (!group) return replace(this.detail, el("p", {}, "This group is no longer there."));
    replace(this.detail, this.header(group), this.follow(group), this.completions(group));
    if (move) this.name(group);
    if (move && matchMedia("(max-width: 900px)").matches) {
      this.detail.scrollIntoView({ block: "start" });
      this.detail.focus({ preventScroll: true });
    }
    return group;
  }

  header(group) {
    const question = group.question;
    const about = [`step ${group.step}`, isNumber(question.rung) && `rung ${question.rung}`,
      isNumber(question.level) && `level ${question.level}`, question.family, question.kind];
    return el("div", { class: "question" },
      el("p", { class: "about" }, about.filter(Boolean).join(" · ")),
      el("div", { class: "asked" },
        el("div", { class: "pictures" }, question.pictures.map((key, place) => this.picture(key, place))),
        el("div", {},
          el("h3", {}, question.missing ? `Question ${question.id}` : question.text.replace(/<image>/g, "").trim() || question.id),
          question.missing && el("p", { class: "faint" }, "The run folder does not hold this question."),
          question.options && question.options.length > 0 && el("ol", { class: "options", type: "A" }, question.options.map((option) => el("li", {}, option))),
          el("dl", { class: "numbers" },
            [["gold", question.answer || "–"], ["solve rate", `${group.correct} of ${group.size}`], ["group weight", plain(group.weight, 2)],
              ["mean reward", plain(group.reward, 2)], ["mean tokens", plain(group.tokens, 0)], ["trained on", group.admitted ? "yes" : "no"]]
              .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
          answerChips(group))));
  }

  // The groups of one cell of the heat map.
  pick(rung, span) {
    this.filters.set({ rung, from: span[0], to: span[1] });
    const place = document.getElementById("groups");
    place.scrollIntoView({ block: "start" });
    this.filters.form.elements.rung?.focus({ preventScroll: true });
  }

  // The address names the group that is looked at, so that it can be sent to someone.
  name(group) {
    history.replaceState(null, "", `#group=${group.step}.${group.group}`);
  }

  async openNamed() {
    const named = /^#group=(\d{1,9})\.(\d{1,9})$/.exec(location.hash);
    if (!named) return;
    const [step, number] = [Number(named[1]), Number(named[2])];
    const answer = await this.source.query({ from: step, to: step, sort: "oldest" }, 0, 200);
    const found = answer.groups.find((group) => group.group === number);
    if (!found) return;
    await this.show(found.id);
    this.detail.scrollIntoView({ block: "start" });
  }

  picture(key, place) {
    const address = key === null ? null : this.source.picture(key);
    return address
      ? el("img", { src: address, alt: `Picture ${place + 1} of the question`, decoding: "async" })
      : el("span", { class: "nopicture" }, "picture not shown");
  }

  follow(group) {
    const node = el("div", { class: "follow" });
    this.source.same(group.sample).then((others) => {
      if (others.length < 2) return;
      const shown = others.length > 60 ? others.filter((other, place) => place % Math.ceil(others.length / 60) === 0 || other.id === group.id) : others;
      replace(node, el("h4", {}, `The same question in ${count(others.length)} groups`),
        el("div", { class: "steps" }, shown.map((other) => el("button", {
          type: "button", "aria-current": other.id === group.id ? "true" : null,
          "aria-label": `step ${other.step}: ${other.correct} of ${other.size} right`,
          title: `step ${other.step}: ${other.correct} of ${other.size} right`,
          onclick: () => this.show(other.id, true).then(() => this.focusStep()),
        }, el("span", { class: "column" }, el("i", { style: { height: `${100 * other.correct / Math.max(other.size, 1)}%` } })),
        el("small", {}, other.step)))));
    });
    return node;
  }

  focusStep() {
    const again = this.detail.querySelector('.steps [aria-current="true"]');
    if (again) again.focus({ preventScroll: true });
  }

  completions(group) {
    const grid = el("div", { class: "completions" });
    const most = Math.max(...group.completions.map((one) => Math.abs(one.advantage ?? 0)), 0);
    const fill = () => {
      const sorted = [...group.completions].sort(COMPLETION_ORDERS[this.order]);
      replace(grid, sorted.map((completion) => completionCard(completion, most)));
    };
    fill();
    const order = el("select", { onchange: (event) => { this.order = event.target.value; fill(); } },
      Object.keys(COMPLETION_ORDERS).map((name) => el("option", { selected: name === this.order }, name)));
    return [el("div", { class: "controls" }, textLegend(), el("label", { class: "push" }, "Completions ", order)), grid];
  }
}

function dots(group) {
  const shown = Math.min(group.size, 16);
  const right = Math.round(shown * group.correct / Math.max(group.size, 1));
  return el("span", { class: "dots", "aria-hidden": "true" },
    Array.from({ length: shown }, (_, place) => el("i", { class: place < right ? "right" : "wrong" })));
}
