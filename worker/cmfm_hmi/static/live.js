// The live page: server-sent events from the board, drawn into the page. Times and ages are the server's.
"use strict";

(() => {
  const root = document.getElementById("live");
  const texts = textsOf(root);
  const reasons = JSON.parse(root.dataset.reasons);
  const LOCK_MS = 1500; // another owner of the line for so long: the page is loaded anew
  const STRIP = Number(root.dataset.strip);
  const STALE_MS = 4000; // the server sends every second
  const PICTURE_WAIT_MS = 400; // a part without picture is shown after this long
  const marks = { PASS: "✓", FAIL: "✕", UNDECIDED: "?", FAULT: "!" };

  const parts = new Map(); // key → { part, item }
  const byId = (id) => document.getElementById(id);
  let lockChangedAt = null;
  let held = null; // key of the part that the operator holds
  let shownKey = null;
  let shownWithPicture = false;
  let waiting = null;
  let heardAt = 0; // performance.now() of the newest message: no clock of the day
  let source = null;
  let refusal = "";

  const keyOf = (part) => `${part.boot}/${part.id}`;
  const pictureOf = (part) => `/live/picture?boot=${encodeURIComponent(part.boot)}&id=${part.id}`;
  const setText = (id, text) => { const element = byId(id); if (element.textContent !== text) element.textContent = text; };

  function connect() {
    source = new EventSource("/live/events");
    source.onmessage = (event) => {
      heardAt = performance.now();
      refusal = "";
      take(JSON.parse(event.data));
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) explainAndRetry();
    };
  }

  async function explainAndRetry() {
    try {
      const response = await fetch("/live/picture?boot=&id=", { headers: { Accept: "application/json" } });
      if (response.status === 401) { location.reload(); return; }
      const probe = await fetch("/live/events", { headers: { Accept: "application/json" } });
      if (!probe.ok) refusal = (await probe.json()).error;
      else probe.body.cancel();
    } catch { /* the page's program is away: the alarm says so */ }
    showAlarms();
    setTimeout(connect, 3000);
  }

  let head = null;

  function take(message) {
    if (!message.head.line) return; // the board wakes for its first browser, and has not looked yet
    head = message.head;
    for (const part of message.parts) addPart(part);
    trim();
    showHead();
    follow();
  }

  function addPart(part) {
    const key = keyOf(part);
    let entry = parts.get(key);
    if (!entry) {
      entry = { part, item: stripItem(key, part) };
      parts.set(key, entry);
    }
    entry.part = part;
    if (part.picture) {
      entry.item.querySelector(".thumb").style.backgroundImage = `url("${pictureOf(part)}")`;
    }
  }

  function ordered() {
    return [...parts.values()].sort((a, b) => b.part.at - a.part.at || b.part.id - a.part.id);
  }

  function trim() {
    const strip = byId("strip");
    ordered().forEach((entry, place) => {
      const key = keyOf(entry.part);
      if (place >= STRIP && key !== held) { entry.item.remove(); parts.delete(key); return; }
      if (strip.children[place] !== entry.item) strip.insertBefore(entry.item, strip.children[place] || null);
    });
  }

  function stripItem(key, part) {
    const label = `${texts[part.verdict]}, ${part.part}, ${part.time}`;
    const button = make("button", { type: "button", "aria-label": label, title: label, "aria-pressed": "false" },
      make("span", { class: "thumb" }), make("span", { class: "thumb-mark", "aria-hidden": "true" }, marks[part.verdict]));
    button.addEventListener("click", () => hold(held === key ? null : key));
    return make("li", { class: part.verdict }, button);
  }

  function hold(key) {
    if (held && parts.has(held)) parts.get(held).item.firstChild.setAttribute("aria-pressed", "false");
    held = key;
    if (held) parts.get(held).item.firstChild.setAttribute("aria-pressed", "true");
    byId("newest").classList.toggle("held", held !== null);
    byId("resume").hidden = held === null;
    for (const element of document.querySelectorAll(".held-only")) element.hidden = held === null;
    for (const element of document.querySelectorAll(".live-only")) element.hidden = held !== null;
    shownKey = null;
    follow();
  }

  /** Show the held part, or the newest: its words and its picture together, never the picture of another part. */
  function follow() {
    const entry = held ? parts.get(held) : ordered()[0];
    if (!entry) return;
    const part = entry.part;
    const key = keyOf(part);
    if (shownKey === key && shownWithPicture === part.picture) return;
    if (waiting && waiting.key === key && waiting.picture === part.picture) return;
    if (waiting) clearTimeout(waiting.timer);
    waiting = { key, picture: part.picture, timer: 0 };
    if (part.picture) {
      const image = new Image();
      image.src = pictureOf(part);
      image.decode().then(() => image.src, () => "").then((address) => {
        if (waiting && waiting.key === key) show(part, address);
      });
    } else {
      const expected = part.score !== null;
      waiting.timer = setTimeout(() => show(part, ""), expected && shownKey !== key ? PICTURE_WAIT_MS : 0);
    }
  }

  function show(part, address) {
    waiting = null;
    shownKey = keyOf(part);
    shownWithPicture = part.picture;
    const newest = byId("newest");
    newest.classList.remove("PASS", "FAIL", "UNDECIDED", "FAULT");
    newest.classList.add(part.verdict);
    const verdict = byId("verdict");
    verdict.className = `verdict big ${part.verdict}`;
    verdict.dataset.verdict = part.verdict;
    verdict.textContent = texts[part.verdict];
    setText("reason", part.verdict === "PASS" ? "" : reasons[part.reason] || part.reason);
    setText("detail", part.verdict === "PASS" ? "" : part.detail);
    const digits = digitsApart(part.score, part.threshold);
    setText("score", part.score === null ? texts.no_score : shown(part.score, digits));
    setText("threshold", shown(part.threshold, digits));
    const share = part.score !== null && part.threshold > 0 ? Math.min(Math.max(part.score / part.threshold / 2, 0), 1) : 0;
    byId("gauge-fill").style.width = `${share * 100}%`;
    for (const tile of document.querySelectorAll(".tile")) tile.style.backgroundImage = address ? `url("${address}")` : "none";
    const noPicture = byId("no-picture");
    noPicture.hidden = address !== "";
    setText("no-picture", part.score === null ? texts.no_picture : texts.no_picture_fast);
    setText("fact-part", part.part);
    setText("fact-recipe", part.recipe || "–");
    setText("fact-camera", part.camera || "–");
    setText("fact-time", part.time);
    setText("fact-latency", fill(texts.milliseconds, { value: shown(part.latency_ms) }));
    setText("fact-coverage", part.coverage === null ? "–" : fill(texts.share, { value: shown(part.coverage * 100) }));
    byId("fact-part").title = part.part;
    byId("simulated").hidden = !part.simulated;
    showRegions(part);
    const open = byId("open-part");
    open.hidden = part.verdict === "PASS";
    open.href = `/parts/of/${encodeURIComponent(part.boot)}/${part.id}`;
    document.dispatchEvent(new CustomEvent("part-shown", { detail: { key: shownKey, at: part.at, picture: address !== "" } }));
  }

  function showRegions(part) {
    const rows = part.regions.slice(0, 4).map((region, index) => make("tr", {},
      make("td", {}, String(index + 1)),
      make("td", { class: "right" }, region.mm2 === null
        ? fill(texts.pixels, { value: shown(region.px, 6) }) : fill(texts.mm2, { value: shown(region.mm2) })),
      make("td", { class: "right" }, region.share === null ? "–" : shown(region.share)),
      make("td", {}, texts[`modality_${region.modality}`] || region.modality)));
    if (!rows.length) rows.push(make("tr", {}, make("td", { colspan: "4", class: "quiet" }, texts.no_regions)));
    byId("regions").replaceChildren(...rows);
  }

  function showHead() {
    followLock();
    setText("clock", head.time);
    const line = head.line;
    const phase = byId("phase");
    phase.classList.toggle("bad", ["silent", "unknown", "stopped"].includes(line.phase));
    phase.classList.toggle("warn", ["starting", "draining"].includes(line.phase));
    setText("phase", sentenceOf(line));
    setText("owed", line.owed === undefined ? "–" : String(line.owed));
    setText("latency-median", fill(texts.milliseconds, { value: shown(head.latency.median_ms) }));
    setText("latency-p99", fill(texts.milliseconds, { value: shown(head.latency.p99_ms) }));
    showCameras();
    showCounts();
    showAlarms();
  }

  /** Load the page anew once the line has had another owner for a while: bar and buttons are the server's. */
  function followLock() {
    if (head.lock === document.body.dataset.lock) lockChangedAt = null;
    else if (lockChangedAt === null) lockChangedAt = performance.now();
    else if (performance.now() - lockChangedAt > LOCK_MS) location.reload();
  }

  const sentenceOf = (line) => fill(texts[`phase_${line.phase}`], { seconds: Math.round(line.silent_s) });

  function showCameras() {
    const rows = head.cameras.map((camera) => make("tr", {},
      make("td", {}, camera.name),
      make("td", { class: camera.alive ? "quiet" : "bad-cell" }, camera.alive ? texts.alive : texts.camera_lost),
      make("td", { class: "right" }, camera.frame_s === null ? texts.never : fill(texts.seconds, { value: camera.frame_s.toFixed(0) }))));
    byId("cameras").replaceChildren(...rows);
  }

  function showCounts() {
    setText("shift", fill(texts.shift, { since: head.shift_since }));
    for (const [span, counts] of [["hour", head.hour], ["shift", head.shift]]) {
      setText(`${span}-all`, shown(allOf(counts), 9));
      for (const [verdict, value] of Object.entries(counts)) {
        setText(`${span}-${verdict}`, shown(value, 9));
        byId(`${span}-${verdict}`).classList.toggle("some", verdict !== "PASS" && value > 0);
      }
      setText(`${span}-share`, rejectShare(counts));
    }
    byId("recipes").replaceChildren(...Object.entries(head.recipes).map(([recipe, counts]) => make("tr", {},
      make("td", {}, recipe || texts.no_recipe), make("td", { class: "right" }, shown(allOf(counts), 9)),
      make("td", { class: "right" }, rejectShare(counts)))));
    const problem = byId("counts-problem");
    problem.hidden = head.from_ledger && !head.ledger_problem;
    setText("counts-problem", head.ledger_problem ? fill(texts.page_only, { problem: ledgerProblem() }) : texts.counting);
  }

  function ledgerProblem() {
    const problem = head.ledger_problem;
    return fill(texts[`problem_${problem.key}`] || problem.key, problem);
  }

  const allOf = (counts) => Object.values(counts).reduce((sum, value) => sum + value, 0);

  function rejectShare(counts) {
    const all = allOf(counts);
    return all ? fill(texts.share, { value: shown((100 * (all - counts.PASS)) / all, 3) }) : "–";
  }

  function showAlarms() {
    const stale = performance.now() - heardAt > STALE_MS;
    root.classList.toggle("stale", stale);
    const sentences = [];
    let grave = true;
    if (refusal) sentences.push(fill(texts.page_refused, { error: refusal }));
    else if (stale) sentences.push(texts.page_lost);
    else if (head) {
      const line = head.line;
      if (line.phase !== "ready") {
        sentences.push(sentenceOf(line));
        if (line.trouble) sentences.push(fill(texts.trouble, { trouble: line.trouble }));
        grave = !["starting", "draining"].includes(line.phase);
      } else {
        grave = head.cameras.some((camera) => !camera.alive);
        for (const camera of head.cameras) if (!camera.alive) sentences.push(`${camera.name}: ${texts.camera_lost}`);
      }
      if (line.lost) sentences.push(fill(texts.lost, { count: line.lost }));
    }
    const alarms = byId("alarms");
    alarms.hidden = !sentences.length;
    alarms.classList.toggle("warn", !grave);
    setText("alarms", sentences.length ? `${grave ? "✕" : "⚠"} ${sentences.join(" · ")}` : "");
  }

  byId("resume").addEventListener("click", () => hold(null));
  heardAt = performance.now();
  setInterval(showAlarms, 1000);
  connect();
})();
