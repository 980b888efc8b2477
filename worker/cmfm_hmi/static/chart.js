// Charts as SVG: axes, curves with their spread, bars, and a cursor that is moved by pointer and keys.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

/** Make an SVG element: `drawn("rect", { x: 1 }, child, "text")`. */
function drawn(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Ticks at round numbers that span `low` to `high`: `{ low, high, ticks }`. */
function roundScale(low, high, wanted = 4) {
  if (!(high > low)) [low, high] = [low - (Math.abs(low) || 1) * 0.5, low + (Math.abs(low) || 1) * 0.5];
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  const ticks = [];
  for (let at = first; at <= last; at += 1) ticks.push(Number((at * step).toPrecision(12)));
  return { low: ticks[0], high: ticks[ticks.length - 1], ticks };
}

/** Pixels of `rem`: the text of charts grows with the page. */
function rem(size) {
  return size * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
}

/** The values of curves that are numbers. */
function finite(...curves) {
  return curves.flat().filter((value) => Number.isFinite(value));
}

/** Patterns that tell bars apart without colour, once a chart. */
function patterns(prefix) {
  const hatch = drawn(
    "pattern",
    { id: `${prefix}-hatch`, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    drawn("rect", { width: 6, height: 6, class: "hatch-back" }),
    drawn("rect", { width: 3, height: 6, class: "hatch-line" }),
  );
  const dots = drawn(
    "pattern",
    { id: `${prefix}-dots`, width: 5, height: 5, patternUnits: "userSpaceOnUse" },
    drawn("rect", { width: 5, height: 5, class: "dots-back" }),
    drawn("circle", { cx: 2.5, cy: 2.5, r: 1.4, class: "dots-mark" }),
  );
  return drawn("defs", {}, hatch, dots);
}

/**
 * A chart over slots of time. `draw` takes `{ labels, bands, lines, bars, from, to, digits }`:
 * bands `{ low, high }`, lines `{ values, kind, step }`, bars `[{ values, kind }]` stacked over `window` slots each.
 * `onCursor(slot)` is called when the cursor moves.
 */
class TimeChart {
  constructor(place, onCursor) {
    this.place = place;
    this.onCursor = onCursor;
    this.left = 0;
    this.svg = drawn("svg", { class: "chart", role: "img", "aria-label": place.dataset.name });
    place.append(this.svg);
    this.svg.addEventListener("pointermove", (event) => this.pointed(event));
    this.svg.addEventListener("pointerdown", (event) => this.pointed(event));
    new ResizeObserver(() => this.redraw()).observe(place);
  }

  pointed(event) {
    if (!this.data) return;
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    const slot = Math.floor(((x - this.left) / this.plot) * this.data.labels.length);
    this.onCursor(Math.max(0, Math.min(this.data.labels.length - 1, slot)));
  }

  draw(data) {
    this.data = data;
    this.redraw();
  }

  redraw() {
    if (!this.data || !this.place.clientWidth) return;
    const { labels, bands = [], lines = [], bars = [], window: size = 1 } = this.data;
    this.width = this.place.clientWidth;
    this.height = Math.max(90, this.place.clientHeight);
    this.left = rem(3.2);
    this.foot = rem(1.4);
    this.plot = this.width - this.left - 8;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    const stacks = stacked(bars);
    const seen = finite(
      ...bands.flatMap((band) => [band.low, band.high]),
      ...lines.map((line) => line.values),
      ...stacks.map((stack) => stack.top),
      this.data.from ?? [],
      this.data.to ?? [],
    );
    this.scale = roundScale(Math.min(...seen, Infinity) === Infinity ? 0 : Math.min(...seen), seen.length ? Math.max(...seen) : 1);
    this.svg.replaceChildren(patterns(this.place.id), this.axes(labels));
    for (const band of bands) this.svg.append(this.band(band));
    for (const stack of stacks) this.svg.append(this.stack(stack, size));
    for (const line of lines) this.svg.append(this.line(line, line.window || 1));
    this.mark = drawn("line", { class: "cursor", y1: 4, y2: this.height - this.foot });
    this.svg.append(this.mark);
    this.cursor(this.slot ?? null);
  }

  x(slot) {
    return this.left + (slot / this.data.labels.length) * this.plot;
  }

  y(value) {
    const { low, high } = this.scale;
    return 6 + (1 - (value - low) / (high - low)) * (this.height - this.foot - 8);
  }

  axes(labels) {
    const group = drawn("g", { class: "axes" });
    for (const tick of this.scale.ticks) {
      const y = this.y(tick).toFixed(1);
      group.append(drawn("line", { x1: this.left, x2: this.width - 8, y1: y, y2: y }));
      group.append(drawn("text", { x: this.left - 5, y: Number(y) + 4, "text-anchor": "end" }, shown(tick, 4)));
    }
    const every = Math.max(1, Math.ceil(labels.length / Math.max(2, Math.floor(this.plot / rem(5.5)))));
    for (let slot = 0; slot < labels.length; slot += every) {
      const x = this.x(slot).toFixed(1);
      group.append(drawn("line", { x1: x, x2: x, y1: this.height - this.foot - 2, y2: this.height - this.foot + 3 }));
      group.append(drawn("text", { x, y: this.height - 4, "text-anchor": slot ? "middle" : "start" }, labels[slot]));
    }
    return group;
  }

  band({ low, high }) {
    const group = drawn("g", { class: "band" });
    for (const [first, end] of runs(low)) {
      const points = [];
      for (let slot = first; slot < end; slot += 1) points.push(`${this.x(slot + 0.5).toFixed(1)},${this.y(high[slot]).toFixed(1)}`);
      for (let slot = end - 1; slot >= first; slot -= 1) points.push(`${this.x(slot + 0.5).toFixed(1)},${this.y(low[slot]).toFixed(1)}`);
      group.append(end - first === 1 ? this.stroke(first, low[first], high[first]) : drawn("polygon", { points: points.join(" ") }));
    }
    return group;
  }

  stroke(slot, low, high) {
    return drawn("line", { x1: this.x(slot + 0.5), x2: this.x(slot + 0.5), y1: this.y(low), y2: this.y(high) });
  }

  line({ values, kind }, size) {
    const group = drawn("g", { class: `line ${kind}` });
    for (const [first, end] of runs(values)) {
      const points = [];
      for (let at = first; at < end; at += 1) points.push(`${this.x((at + 0.5) * size).toFixed(1)},${this.y(values[at]).toFixed(1)}`);
      if (end - first === 1) group.append(drawn("circle", { cx: this.x((first + 0.5) * size), cy: this.y(values[first]), r: 2 }));
      group.append(drawn("polyline", { points: points.join(" ") }));
    }
    return group;
  }

  stack({ bottom, top, kind }, size) {
    const group = drawn("g", { class: `bars ${kind}` });
    const fill = { hatch: "-hatch", dots: "-dots" }[{ UNDECIDED: "hatch", FAULT: "dots" }[kind]];
    for (let at = 0; at < top.length; at += 1) {
      if (!(top[at] > bottom[at])) continue;
      const bar = drawn("rect", {
        x: (this.x(at * size) + 0.5).toFixed(1),
        y: this.y(top[at]).toFixed(1),
        width: Math.max(1, this.x(size) - this.x(0) - 1).toFixed(1),
        height: Math.max(0.5, this.y(bottom[at]) - this.y(top[at])).toFixed(1),
      });
      if (fill) bar.setAttribute("fill", `url(#${this.place.id}${fill})`);
      group.append(bar);
    }
    return group;
  }

  cursor(slot) {
    this.slot = slot;
    if (!this.mark) return;
    this.mark.classList.toggle("gone", slot === null);
    if (slot === null) return;
    for (const end of ["x1", "x2"]) this.mark.setAttribute(end, this.x(slot + 0.5).toFixed(1));
  }
}

/** Bars on top of one another: `{ bottom, top, kind }`; what is null counts 0. */
function stacked(bars) {
  let below = null;
  return bars.map(({ values, kind }) => {
    const bottom = below || values.map(() => 0);
    const top = values.map((value, at) => bottom[at] + (value || 0));
    below = top;
    return { bottom, top, kind };
  });
}

/** First and end of each run of numbers in a curve. */
function runs(curve) {
  const found = [];
  let first = null;
  for (let at = 0; at <= curve.length; at += 1) {
    const is = at < curve.length && Number.isFinite(curve[at]);
    if (is && first === null) first = at;
    if (!is && first !== null) {
      found.push([first, at]);
      first = null;
    }
  }
  return found;
}
