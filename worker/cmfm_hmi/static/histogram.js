// The histogram of scores: nominal parts above, recent parts below, and limits to drag by pointer, touch and keys.
"use strict";

const BINS = 80;

/**
 * `data` is `{ nominal, recent, labelled, failAt, greyFrom }`. `onMove(name, value)` is called while a limit
 * ("fail" or "grey") is dragged; `set` shows limits.
 */
class ScoreHistogram {
  constructor(place, words, onMove) {
    this.place = place;
    this.words = words;
    this.onMove = onMove;
    this.dragged = null;
    this.handles = {};
    this.svg = drawn("svg", { class: "chart histogram" });
    place.append(this.svg);
    this.svg.addEventListener("pointermove", (event) => this.pointed(event));
    for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, () => (this.dragged = null));
    new ResizeObserver(() => this.redraw()).observe(place);
  }

  draw(data) {
    this.data = data;
    const scores = finite(data.recent.score, data.labelled.good.score, data.labelled.bad.score);
    const usual = Math.max(...data.nominal, data.failAt) * 2.2;
    const highest = Math.max(...scores, ...data.nominal, data.failAt);
    const lowest = Math.min(0, ...scores, ...data.nominal);
    this.scale = roundScale(lowest, Math.min(usual, highest * 1.05), 8);
    this.redraw();
  }

  /** Show other limits: the bars of recent parts and the handles change, nothing else. */
  set(limits) {
    Object.assign(this.data, limits);
    if (!this.recent) return;
    const bars = this.panel(this.words.recent, this.recentBars(), ...this.recentPlace);
    this.recent.replaceWith(bars);
    this.recent = bars;
    for (const name of Object.keys(this.handles)) this.position(name);
  }

  limit(name) {
    return name === "fail" ? this.data.failAt : this.data.greyFrom;
  }

  x(score) {
    const { low, high } = this.scale;
    return this.left + ((Math.min(Math.max(score, low), high) - low) / (high - low)) * this.plot;
  }

  score(x) {
    const { low, high } = this.scale;
    const share = Math.min(1, Math.max(0, (x - this.left) / this.plot));
    return low + share * (high - low);
  }

  bin(score) {
    const { low, high } = this.scale;
    return Math.max(0, Math.min(BINS - 1, Math.floor(((score - low) / (high - low)) * BINS)));
  }

  redraw() {
    if (!this.data || !this.place.clientWidth) return;
    [this.width, this.height, this.left] = [this.place.clientWidth, Math.max(220, this.place.clientHeight), rem(2.6)];
    this.plot = this.width - this.left - 14;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    const middle = Math.round(this.height * 0.4);
    const bottom = this.height - rem(2.7);
    const focused = document.activeElement?.dataset.limit;
    this.recentPlace = [middle + rem(1.4), bottom];
    this.recent = this.panel(this.words.recent, this.recentBars(), ...this.recentPlace);
    this.handles = {};
    if (this.data.greyFrom !== null) this.handles.grey = this.handle("grey", bottom);
    this.handles.fail = this.handle("fail", bottom);
    this.svg.replaceChildren(
      patterns("histogram"),
      this.panel(this.words.nominal, this.nominalBars(), rem(1), middle),
      this.recent,
      this.labels(bottom),
      this.axis(bottom),
      ...Object.values(this.handles),
    );
    for (const name of Object.keys(this.handles)) this.position(name);
    this.handles[focused]?.focus({ preventScroll: true });
  }

  /** Counts of bins by verdict: `{ kind: [counts] }`. */
  nominalBars() {
    const counts = { nominal: new Array(BINS).fill(0) };
    for (const score of this.data.nominal) counts.nominal[this.bin(score)] += 1;
    return counts;
  }

  recentBars() {
    const counts = Object.fromEntries(["PASS", "UNDECIDED", "FAIL"].map((kind) => [kind, new Array(BINS).fill(0)]));
    const { recent, failAt, greyFrom } = this.data;
    recent.score.forEach((score, at) => {
      const verdict = verdictAt(recent, at, failAt, greyFrom);
      if (score !== null && verdict in counts) counts[verdict][this.bin(score)] += 1;
    });
    return counts;
  }

  panel(title, counts, top, bottom) {
    const group = drawn("g", { class: "panel-bars" });
    const stacks = stacked(Object.entries(counts).map(([kind, values]) => ({ kind, values })));
    const most = Math.max(1, ...stacks[stacks.length - 1].top);
    const height = (count) => (count ? Math.max(3, (count / most) * (bottom - top - 4)) : 0);
    const width = this.plot / BINS;
    for (const { kind, bottom: from, top: to } of stacks) {
      const bars = drawn("g", { class: `bars ${kind}` });
      for (let at = 0; at < BINS; at += 1) {
        if (to[at] <= from[at]) continue;
        const y = bottom - height(to[at]);
        const bar = { x: this.left + at * width + 0.5, y, width: Math.max(1, width - 1), height: bottom - height(from[at]) - y };
        if (kind === "UNDECIDED") bar.fill = "url(#histogram-hatch)";
        bars.append(drawn("rect", bar));
      }
      group.append(bars);
    }
    group.append(drawn("line", { class: "base", x1: this.left, x2: this.left + this.plot, y1: bottom, y2: bottom }));
    group.append(drawn("text", { x: this.left, y: top - 3, class: "title" }, title));
    group.append(drawn("text", { x: this.left - 5, y: top + 10, "text-anchor": "end" }, shown(most, 4)));
    return group;
  }

  /** Labelled parts: a triangle below the axis, filled for bad ones. */
  labels(bottom) {
    const group = drawn("g", { class: "labelled" });
    for (const use of ["good", "bad"]) {
      this.data.labelled[use].score.forEach((score) => {
        const x = this.x(score).toFixed(1);
        group.append(drawn("path", { class: use, d: `M${x} ${bottom + 2}l-4 8h8z` }));
      });
    }
    return group;
  }

  axis(bottom) {
    const group = drawn("g", { class: "axes" });
    for (const tick of this.scale.ticks) {
      const x = this.x(tick);
      group.append(drawn("line", { x1: x, x2: x, y1: bottom, y2: bottom + 12 }));
      group.append(drawn("text", { x, y: bottom + 12 + rem(0.9), "text-anchor": "middle" }, shown(tick, 4)));
    }
    const beyond = finite(this.data.recent.score).filter((score) => score > this.scale.high).length;
    const note = beyond ? fill(this.words.beyond, { count: beyond, score: shown(this.scale.high) }) : "";
    group.append(drawn("text", { x: this.left + this.plot, y: bottom + 12 + rem(1.8), "text-anchor": "end" }, note));
    return group;
  }

  handle(name, bottom) {
    const group = drawn(
      "g",
      { class: `handle ${name}`, tabindex: 0, role: "slider", "data-limit": name, "aria-label": this.words[name] },
      drawn("rect", { class: "grip", x: -16, y: 0, width: 32, height: bottom + 14 }),
      drawn("line", { x1: 0, x2: 0, y1: 12, y2: bottom + 4 }),
      drawn("path", { class: "head", d: name === "fail" ? "M-9 2h18l-9 13z" : "M0 2l8 7l-8 7l-8 -7z" }),
    );
    group.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.dragged = name;
      this.svg.setPointerCapture(event.pointerId);
      group.focus({ preventScroll: true });
    });
    group.addEventListener("keydown", (event) => this.pressed(name, event));
    return group;
  }

  position(name) {
    const [group, value] = [this.handles[name], this.limit(name)];
    group.setAttribute("transform", `translate(${this.x(value).toFixed(1)} 0)`);
    group.setAttribute("aria-valuemin", this.scale.low);
    group.setAttribute("aria-valuemax", this.scale.high);
    group.setAttribute("aria-valuenow", value);
    group.setAttribute("aria-valuetext", shown(value, 5));
  }

  /** Keys move a limit by 1/200 of the axis, with Shift by 1/2000, a page by 1/20. */
  pressed(name, event) {
    const { low, high } = this.scale;
    const value = this.limit(name);
    const step = ((high - low) / 200) * (event.shiftKey ? 0.1 : 1);
    const goals = {
      ArrowLeft: value - step,
      ArrowDown: value - step,
      ArrowRight: value + step,
      ArrowUp: value + step,
      PageDown: value - 10 * step,
      PageUp: value + 10 * step,
      Home: low,
      End: high,
    };
    if (!(event.key in goals)) return;
    event.preventDefault();
    this.move(name, goals[event.key]);
  }

  pointed(event) {
    if (this.dragged === null) return;
    this.move(this.dragged, this.score(event.clientX - this.svg.getBoundingClientRect().left));
  }

  move(name, score) {
    const { low, high } = this.scale;
    this.onMove(name, Math.min(high, Math.max(low, score)));
  }
}
