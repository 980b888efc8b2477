// Teaching a product: asks for its state every second, and draws what has changed.
"use strict";

const root = document.getElementById("teach");
const home = `/teach/${root.dataset.product}`;
const words = textsOf(root);
const byId = (id) => document.getElementById(id);
const PERIOD_MS = 1000;
const GAIN_DIGITS = 3;

let revision = "";
let outcome = "";
let newest = null;
let cards = new Map();

function say(id, sentence) {
  byId(id).textContent = sentence || "";
  if (byId(id).classList.contains("problem")) byId(id).hidden = !sentence;
}

/** POST and draw the new state; a refusal is shown where the button is. */
async function act(path, body, failure = "failure") {
  try {
    await post(`${home}/${path}`, body);
    say(failure, "");
    await look();
  } catch (error) {
    say(failure, error.message);
  }
}

async function look() {
  const state = await getJson(`${home}/state`);
  newest = state;
  drawLine(state.line);
  drawCounts(state);
  drawTeaching(state);
  if (state.revision !== revision) {
    await drawParts();
    revision = state.revision;
  }
  if (state.outcome !== outcome) {
    await drawOutcome(state.outcome);
    outcome = state.outcome;
  }
}

function drawLine(line) {
  say("line", fill(words[`line_${line.state}`], line));
  say("dropped", line.dropped ? fill(words.dropped, line) : "");
  byId("start").disabled = line.state === "away";
  byId("next").disabled = line.state === "away" || line.state === "collecting";
  byId("stop").disabled = line.state !== "collecting";
}

function drawCounts(state) {
  byId("bar").value = state.good;
  say("good", String(state.good));
  say("others", fill(words.others, state));
  const enough = state.then > state.now;
  const missing = state.least - state.good;
  const figures = { now: shown(state.now, GAIN_DIGITS), then: shown(state.then, GAIN_DIGITS), missing, least: state.least };
  say("gain", `${missing > 0 ? fill(words.missing, figures) : ""} ${fill(enough ? words.gain : words.no_gain, figures)}`);
}

function drawTeaching(state) {
  const { teach, use } = state;
  const running = teach.state === "running";
  byId("begin").disabled = running || teach.state === "busy" || state.good < state.least;
  byId("cancel").hidden = !running;
  byId("progress").hidden = !running;
  if (running) {
    const share = teach.total ? teach.done / teach.total : 0;
    byId("progress").value = (teach.number - 1 + share) / teach.of;
    say("stage", fill(words.running, { ...teach, stage: words[`stage_${teach.stage}`] }));
  } else {
    say("stage", fill(words[`teach_${teach.state}`], teach));
  }
  if (teach.state === "failed") say("failure", teach.error);
  byId("use").disabled = use.state === "running" || running;
  say("used", words[`use_${use.state}`]);
  say("use-failure", use.state === "failed" ? use.error : "");
}

async function drawParts() {
  const strip = await getJson(`${home}/parts`);
  const before = cards;
  cards = new Map(strip.parts.map((part) => [JSON.stringify(part), part]));
  for (const [key, part] of cards) cards.set(key, before.get(key) || card(part));
  // Cards that stay are not touched: somebody may be pressing one while further parts come.
  const list = byId("parts");
  for (const [key, old] of before) if (!cards.has(key)) old.remove();
  let next = list.firstChild;
  for (const item of cards.values()) {
    if (item === next) next = next.nextSibling;
    else list.insertBefore(item, next);
  }
  byId("more").hidden = !strip.more;
  say("more", fill(words.more, strip));
}

function card(part) {
  const tick = make("input", { type: "checkbox" });
  tick.checked = part.use === "good";
  tick.addEventListener("change", () => act("choose", { part: part.name, use: tick.checked ? "good" : "left_out" }));
  const bad = make("button", { type: "button", "aria-pressed": String(part.use === "bad") }, words.bad);
  bad.addEventListener("click", () => act("choose", { part: part.name, use: part.use === "bad" ? "left_out" : "bad" }));
  const picture = make("img", { src: `${home}/parts/${part.name}.jpg`, alt: fill(words.picture, part), loading: "lazy", width: "320", height: "240" });
  const judged = part.verdict === "FAULT"
    ? make("span", { class: "quiet" }, words.not_judged)
    : make("span", { class: `verdict ${part.verdict}` }, words[`verdict_${part.verdict}`]);
  const item = make("li", {}, picture, make("div", { class: "line" }, judged, make("span", { class: "quiet" }, part.part_id)));
  if (part.odd.length) {
    item.classList.add("odd");
    item.append(make("div", { class: "why" }, `⚠ ${part.odd.map((why) => words[`odd_${why}`]).join(", ")}`));
  }
  if (part.use !== "good") item.classList.add("out");
  if (part.by) item.append(make("div", { class: "quiet" }, `${words[`use_of_${part.use}`]}: ${part.by} ${part.comment}`));
  item.append(make("div", { class: "line" }, make("label", {}, tick, words.teach_from), bad));
  return item;
}

async function drawOutcome(mark) {
  byId("outcome-panel").hidden = !mark;
  if (!mark) return;
  const response = await fetch(`${home}/outcome`);
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const content = new DOMParser().parseFromString(await response.text(), "text/html").body;
  byId("outcome").replaceChildren(...content.childNodes);
  for (const button of byId("outcome").querySelectorAll("[data-leave-out]")) {
    button.addEventListener("click", () => act("choose", { part: button.dataset.leaveOut, use: "left_out" }));
  }
}

byId("collect").addEventListener("submit", (event) => {
  event.preventDefault();
  act("collect", new FormData(event.target));
});
byId("next").addEventListener("click", () => {
  const body = new FormData(byId("collect"));
  body.set("count", "1");
  body.set("every", "1");
  act("collect", body);
});
byId("stop").addEventListener("click", () => act("stop", {}));
byId("begin").addEventListener("click", () => act("teach", {}));
byId("cancel").addEventListener("click", () => act("cancel", {}));
byId("use").addEventListener("click", () => act("use", { outcome: newest.outcome }, "use-failure"));

async function watch() {
  try {
    await look();
    if (byId("line").dataset.lost) {
      delete byId("line").dataset.lost;
    }
  } catch (error) {
    byId("line").dataset.lost = "yes";
    say("line", fill(words.page_away, { error: error.message }));
  }
  setTimeout(watch, PERIOD_MS);
}
watch();
