// Where groups and the plotting library come from: out of the page itself, or from the live viewer.

// The page is drawn before its data has been read to the end.
function parsed() {
  return document.readyState === "loading"
    ? new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve, { once: true }))
    : Promise.resolve();
}

async function unpack(id) {
  await parsed();
  const bytes = Uint8Array.from(atob(document.getElementById(`data-${id}`).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

class PageSource {
  async load() {
    const data = JSON.parse(await unpack("groups"));
    this.note = data.note;
    this.questions = data.questions;
    this.pictures = data.pictures;
    this.groups = data.groups;
    this.byId = new Map(this.groups.map((group) => [group.id, group]));
    this.texts = new Map();
  }

  haystack(group) {
    let text = this.texts.get(group.id);
    if (text === undefined) {
      const question = this.questions[group.sample];
      text = [group.sample, question.text, question.answer, ...group.completions.map((one) => one.text)].join("\n").toLowerCase();
      this.texts.set(group.id, text);
    }
    return text;
  }

  find(wanted) {
    const found = this.groups.filter((group) => fits(group, this.questions[group.sample], wanted, (one) => this.haystack(one)));
    return found.sort(sorter(wanted.sort));
  }

  whole(group) {
    return { ...group, question: this.questions[group.sample] };
  }

  async query(wanted, offset, limit) {
    const found = this.find(wanted);
    return { total: found.length, groups: found.slice(offset, offset + limit).map((group) => this.whole(group)) };
  }

  async group(id) {
    return this.byId.has(id) ? this.whole(this.byId.get(id)) : null;
  }

  async same(sample) {
    return this.groups.filter((group) => group.sample === sample).sort(sorter("oldest"));
  }

  picture(key) {
    return this.pictures[key];
  }

  plotly() {
    this.library ??= unpack("plotly").then((text) => {
      // The policy of the page names the hash of exactly this text.
      document.head.append(el("script", {}, text));
      return window.Plotly;
    });
    return this.library;
  }
}

class LiveSource {
  constructor(base) {
    this.base = base;
  }

  async fetch(path, wanted) {
    const query = new URLSearchParams(wanted || {}).toString();
    const answer = await fetch(`${this.base}${path}${query ? `?${query}` : ""}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(`the viewer answered ${answer.status}`);
    return answer.json();
  }

  query(wanted, offset, limit) {
    return this.fetch("groups", { ...wanted, offset, limit });
  }

  group(id) {
    return this.fetch("group", { id });
  }

  same(sample) {
    return this.fetch("same", { sample });
  }

  picture(key) {
    return `${this.base}picture?key=${encodeURIComponent(key)}`;
  }

  plotly() {
    this.library ??= new Promise((resolve, reject) => {
      document.head.append(el("script", {
        src: "/assets/plotly.js",
        onload: () => resolve(window.Plotly),
        onerror: () => {
          this.library = undefined; // asked for again when the next curve is drawn
          reject(new Error("the viewer does not answer"));
        },
      }));
    });
    return this.library;
  }
}
