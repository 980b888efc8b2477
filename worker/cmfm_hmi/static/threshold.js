// The page Threshold: limits are dragged, the newest parts judged again here, and the limits saved and undone.
"use strict";

const page = document.getElementById("threshold");
const REFRESH_MS = 15000;
const SHOWN_CHANGES = 200;

for (const list of document.querySelectorAll("select[data-submit]")) list.addEventListener("change", () => list.form.submit());

if (page) {
  const words = textsOf(page);
  const verdictWords = JSON.parse(page.dataset.verdicts);
  const histogram = new ScoreHistogram(document.getElementById("histogram"), words, moved);
  const fields = { fail: document.getElementById("fail-at"), grey: document.getElementById("grey-from") };
  const byId = (id) => document.getElementById(id);
  let data = null;
  let busy = false;

  /** A limit in use as its field shows it: five digits. */
  const inField = (limit) => (limit === null ? "" : String(Number(limit.toPrecision(5))));

  /** The limits in the fields: `failAt` is null while its field holds no number. A field left as it is means the limit in use. */
  function limits() {
    const limit = (field, inUse) => {
      if (field.value === inField(inUse)) return inUse;
      return field.value.trim() === "" || !Number.isFinite(Number(field.value)) ? null : Number(field.value);
    };
    return { failAt: limit(fields.fail, data.fail_at), greyFrom: limit(fields.grey, data.grey_from) };
  }

  function areSaved() {
    const { failAt, greyFrom } = limits();
    return failAt === data.fail_at && greyFrom === data.grey_from;
  }

  /** A limit was dragged; neither passes the other. */
  function moved(name, value) {
    const rounded = Number(value.toPrecision(4));
    fields[name].value = rounded;
    const { failAt, greyFrom } = limits();
    if (greyFrom !== null && greyFrom >= failAt) {
      if (name === "fail") fields.grey.value = rounded;
      else fields.fail.value = rounded;
    }
    judge();
  }

  function judge() {
    const { failAt, greyFrom } = limits();
    const valid = failAt !== null && (greyFrom === null || greyFrom < failAt);
    fields.grey.setCustomValidity(valid || failAt === null ? "" : words.grey_too_high);
    const save = byId("save");
    if (save) {
      save.disabled = busy || !valid || areSaved();
      byId("reset").disabled = busy || areSaved();
    }
    if (failAt === null) return;
    if ((histogram.data?.greyFrom ?? null) === null !== (greyFrom === null)) histogram.draw(drawnData(failAt, greyFrom));
    else histogram.set({ failAt, greyFrom });
    const found = rejudge(data.recent, failAt, greyFrom);
    for (const verdict of Object.keys(found.before)) {
      byId(`before-${verdict}`).textContent = found.before[verdict];
      byId(`after-${verdict}`).textContent = found.after[verdict];
    }
    byId("rate").textContent = rateInWords(failAt);
    for (const use of ["good", "bad"]) byId(use).textContent = labelledInWords(use, failAt, greyFrom);
    showChanged(found.changed);
  }

  /** A share in percent; what is below 0.01 % is said to be so. */
  function percent(share) {
    return share > 0 && share < 1e-4 ? `<${shown(0.01)}` : shown(100 * share, 2);
  }

  function rateInWords(failAt) {
    const count = reaching(data.nominal, failAt);
    const nominal = fill(words.nominal_count, { count, of: data.nominal.length });
    const expected = expectedAt(data.expected, failAt);
    if (expected === null) return data.nominal.length ? nominal : words.no_nominal;
    return `${fill(words.expected, { rate: percent(expected.rate), low: percent(expected.low), high: percent(expected.high) })} ${nominal}`;
  }

  function labelledInWords(use, failAt, greyFrom) {
    const parts = data.labelled[use];
    const { count, of, low, high } = passing(parts, failAt, greyFrom);
    if (!of) return words.no_labels;
    return fill(words[`${use}_pass`], { count, of, low: percent(low), high: percent(high) });
  }

  function showChanged(changed) {
    byId("changed-count").textContent = `(${changed.length})`;
    const newest = changed.slice(-SHOWN_CHANGES).reverse();
    byId("changed").replaceChildren(...newest.map(changedPart));
    if (changed.length > newest.length) byId("changed").append(make("li", {}, fill(words.more, { count: changed.length - newest.length })));
  }

  function changedPart({ at, from, to }) {
    const parts = data.recent;
    const name = parts.part[at] || `#${parts.id[at]}`;
    const address = `/parts/of/${encodeURIComponent(parts.boots[parts.boot[at]])}/${parts.id[at]}`;
    return make(
      "li",
      {},
      make("a", { href: address }, name),
      make("span", { class: "quiet" }, ` ${parts.when[at]} · ${shown(parts.score[at], 4)} · `),
      make("span", { class: `verdict ${from}` }, verdictWords[from]),
      " → ",
      make("span", { class: `verdict ${to}` }, verdictWords[to]),
    );
  }

  function drawnData(failAt, greyFrom) {
    return { nominal: data.nominal, recent: data.recent, labelled: data.labelled, failAt, greyFrom };
  }

  /** Show data; limits that a person has moved stay where they are. */
  function show(fresh) {
    const keep = data !== null && !areSaved() && data.recipe_sha === fresh.recipe_sha;
    data = fresh;
    if (!keep) {
      fields.fail.value = inField(data.fail_at);
      fields.grey.value = inField(data.grey_from);
    }
    const { failAt, greyFrom } = limits();
    if (failAt !== null) histogram.draw(drawnData(failAt, greyFrom));
    byId("recent-count").textContent = fill(words.recent_count, { count: data.recent.verdict.length });
    byId("state").textContent = state();
    showProblem(data.recent_problem || (data.fail_at === null ? words.no_threshold : ""));
    const undo = byId("undo");
    if (undo) {
      undo.hidden = data.undo === null;
      if (data.undo) undo.textContent = fill(words.undo, { version: data.undo.version, score: shown(data.undo.fail_at, 4) });
      undo.disabled = busy;
    }
    judge();
  }

  function state() {
    const notes = [fill(words.in_use, { score: shown(data.fail_at, 5) })];
    const judged = data.line_judges_by;
    if (judged !== null && judged !== data.fail_at) notes.push(fill(words.line_judges, { score: shown(judged, 5) }));
    if (data.recent.others) notes.push(fill(words.others, { count: data.recent.others }));
    if (data.expected_problem) notes.push(fill(words.no_expected, { problem: data.expected_problem }));
    return notes.join(" ");
  }

  async function load() {
    show(await getJson(page.dataset.from));
  }

  async function act(work) {
    busy = true;
    judge();
    try {
      byId("done").textContent = words.working;
      const answer = await work();
      await load();
      byId("done").textContent = fill(words.saved, { version: answer.version }) + " " + answer.sentence;
      byId("why").value = "";
    } catch (error) {
      byId("done").textContent = "";
      showProblem(error.message);
    } finally {
      busy = false;
      show(data);
    }
  }

  function save(event) {
    event.preventDefault();
    const { failAt, greyFrom } = limits();
    const [fail_at, grey_from] = [failAt, greyFrom].map((limit) => (limit === null ? "" : String(limit)));
    act(() => post("/threshold", { recipe: data.recipe, recipe_sha: data.recipe_sha, fail_at, grey_from, why: byId("why").value }));
  }

  function undo() {
    const { recipe, recipe_sha, undo: to } = data;
    act(() => post(`/recipes/${encodeURIComponent(recipe)}/restore`, { version: to.version, recipe_sha, why: byId("why").value }));
  }

  function reset() {
    fields.fail.value = inField(data.fail_at);
    fields.grey.value = inField(data.grey_from);
    judge();
  }

  function showProblem(sentence) {
    byId("problem").textContent = sentence;
    byId("problem").hidden = !sentence;
  }

  async function refresh() {
    if (!busy && histogram.dragged === null && !document.hidden) {
      try {
        await load();
      } catch (error) {
        showProblem(error.message);
      }
    }
    setTimeout(refresh, REFRESH_MS);
  }

  for (const field of Object.values(fields)) field.addEventListener("input", () => data && judge());
  byId("limits").addEventListener("submit", (event) => (byId("save") ? save(event) : event.preventDefault()));
  byId("reset")?.addEventListener("click", reset);
  byId("undo")?.addEventListener("click", undo);
  refresh();
}
