// The page Trends: curves of a range, asked again while older times are missing and as new parts come.
"use strict";

const trends = document.getElementById("trends");
const words = textsOf(trends);
const verdictWords = JSON.parse(trends.dataset.verdicts);
const charts = new Map();
let curves = null;

for (const place of trends.querySelectorAll("[data-chart]")) charts.set(place.dataset.chart, new TimeChart(place, moveCursor));

function draw() {
  const { labels, measures, threshold, percentile, rejects, drift, window_slots: size } = curves;
  for (const name of ["score", "coverage", "latency"]) {
    const { median, least, greatest } = measures[name];
    const lines = [{ values: median, kind: "median" }];
    if (name === "score") lines.push({ values: threshold, kind: "limit" });
    charts.get(name).draw({ labels, bands: [{ low: least, high: greatest }], lines, from: name === "coverage" ? [] : [0] });
  }
  toggle("percentile", percentile !== null);
  if (percentile) charts.get("percentile").draw({ labels, lines: [{ values: percentile, kind: "median" }], from: [0], to: [100] });
  const bars = Object.entries(rejects.an_hour).map(([kind, values]) => ({ kind, values }));
  charts.get("rejects").draw({ labels, bars, window: size, from: [0], to: [1] });
  const lines = [];
  for (const name of ["score", "coverage"]) {
    if (!drift[name]) continue;
    lines.push({ values: drift[name].index, kind: `median ${name}`, window: size });
    lines.push({ values: drift[name].limit, kind: `limit ${name}`, window: size });
  }
  toggle("drift", lines.length > 0);
  if (lines.length) charts.get("drift").draw({ labels, lines, from: [0] });
  showTotals();
  showDrift();
  moveCursor(charts.get("score").slot ?? null);
}

/** A chart that has nothing to compare with says why instead. */
function toggle(name, is) {
  const place = charts.get(name).place;
  place.hidden = !is;
  document.getElementById(`${name}-missing`).hidden = is;
}

function showTotals() {
  const { total } = curves.rejects;
  const rejected = total.FAIL + total.UNDECIDED + total.FAULT;
  const share = curves.parts ? rejected / curves.parts : 0;
  const values = { parts: curves.parts, rejected, share: shown(100 * share, 3), until: curves.until };
  document.getElementById("totals").textContent = fill(curves.parts ? words.totals : words.no_parts, values);
  const partial = document.getElementById("partial");
  partial.hidden = curves.missing_from === 0;
  partial.textContent = curves.more ? words.partial : words.too_slow;
}

/** The newest window of each measure that drifted, in words. */
function showDrift() {
  const drifted = ["score", "coverage"].filter((name) => {
    const found = curves.drift[name];
    if (!found) return false;
    const newest = found.index.findLastIndex((value) => value !== null);
    return newest >= 0 && found.index[newest] >= found.limit[newest];
  });
  const alarm = document.getElementById("drifted");
  alarm.hidden = drifted.length === 0;
  alarm.textContent = fill(words.drifted, { what: drifted.map((name) => words[name]).join(", ") });
}

function moveCursor(slot) {
  if (!curves) return;
  for (const chart of charts.values()) chart.cursor(slot);
  for (const [name, chart] of charts) {
    const place = document.getElementById(`${name}-at`);
    const gone = slot === null || chart.place.hidden;
    place.textContent = gone ? "" : `${curves.labels[slot]} · ${reading(name, slot)}`;
    chart.slot = slot;
  }
}

/** The values under the cursor, in words. */
function reading(name, slot) {
  const at = Math.floor(slot / curves.window_slots);
  if (name === "rejects") {
    return Object.entries(curves.rejects.an_hour)
      .map(([verdict, values]) => `${verdictWords[verdict]} ${shown(values[at])}`)
      .join(", ");
  }
  if (name === "percentile") return shown(curves.percentile ? curves.percentile[slot] : null);
  if (name === "drift") {
    return ["score", "coverage"]
      .filter((each) => curves.drift[each])
      .map((each) => `${words[each]} ${shown(curves.drift[each].index[at])} (${words.limit} ${shown(curves.drift[each].limit[at])})`)
      .join(", ");
  }
  const { median, least, greatest } = curves.measures[name];
  return `${shown(median[slot])} (${shown(least[slot])} – ${shown(greatest[slot])})`;
}

trends.addEventListener("keydown", (event) => {
  if (!curves) return;
  const last = curves.labels.length - 1;
  const slot = charts.get("score").slot ?? last;
  const step = event.shiftKey ? 10 : 1;
  const goals = { ArrowLeft: slot - step, ArrowRight: slot + step, Home: 0, End: last, Escape: null };
  if (!(event.key in goals)) return;
  event.preventDefault();
  const goal = goals[event.key];
  moveCursor(goal === null ? null : Math.max(0, Math.min(last, goal)));
});

for (const list of document.querySelectorAll("select[data-submit]")) list.addEventListener("change", () => list.form.submit());

async function refresh() {
  let pause = Number(trends.dataset.refreshS) * 1000;
  try {
    curves = await getJson(trends.dataset.from);
    draw();
    showProblem("");
    if (curves.more) pause = 50;
  } catch (error) {
    showProblem(error.message);
  }
  setTimeout(refresh, pause);
}

function showProblem(sentence) {
  const place = document.getElementById("problem");
  place.textContent = sentence;
  place.hidden = !sentence;
}

refresh();
