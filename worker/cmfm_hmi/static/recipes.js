// The page Recipes: import with a bar, versions put back, nominal scores of two recipes side by side.
"use strict";

function say(id, sentence) {
  const place = document.getElementById(id);
  place.textContent = sentence;
  place.hidden = !sentence;
}

/** Send a file as it is, with a bar. Resolves to JSON; rejects with a sentence. */
function send(address, file, onShare) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.setRequestHeader("X-CSRF-Token", document.body.dataset.csrf);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onShare(event.loaded / event.total));
    request.addEventListener("error", () => reject(new Error("")));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Error(request.response?.error || `HTTP ${request.status}`));
    });
    request.send(file);
  });
}

const importing = document.getElementById("import");
if (importing) {
  const words = textsOf(importing);
  const { file, name, why, replace } = importing.elements;
  const bar = document.getElementById("sent");

  file.addEventListener("change", () => {
    const chosen = file.files[0];
    const tooLarge = chosen && chosen.size > Number(importing.dataset.limitMb) * 1e6;
    file.setCustomValidity(tooLarge ? fill(words.too_large, { megabytes: importing.dataset.limitMb }) : "");
    file.reportValidity();
    if (chosen && !name.value) name.value = chosen.name.replace(/\.zip$/, "").replace(/[^A-Za-z0-9_.-]/g, "_");
  });

  importing.addEventListener("submit", async (event) => {
    event.preventDefault();
    const query = new URLSearchParams({ name: name.value, why: why.value });
    if (replace.checked) query.set("replace", "yes");
    const button = importing.querySelector("button");
    button.disabled = true;
    bar.hidden = false;
    say("problem", "");
    say("done", words.working);
    try {
      const answer = await send(`/recipes/import?${query}`, file.files[0], (share) => (bar.value = share));
      say("done", `${fill(words.imported, { name: name.value })} ${answer.sentence}`);
      setTimeout(() => location.reload(), 2500);
    } catch (error) {
      say("done", "");
      say("problem", error.message || words.broken);
    } finally {
      button.disabled = false;
      bar.hidden = true;
    }
  });
}

const listed = document.getElementById("versions");
if (listed) {
  const words = textsOf(listed);
  for (const button of listed.querySelectorAll("[data-restore]")) {
    button.addEventListener("click", async () => {
      for (const each of listed.querySelectorAll("[data-restore]")) each.disabled = true;
      say("problem", "");
      say("done", words.working);
      try {
        const { recipe, recipeSha } = listed.dataset;
        const body = { version: button.dataset.restore, recipe_sha: recipeSha };
        const answer = await post(`/recipes/${encodeURIComponent(recipe)}/restore`, body);
        say("done", `${fill(words.restored, { version: button.dataset.restore })} ${answer.sentence}`);
        setTimeout(() => location.reload(), 2500);
      } catch (error) {
        say("done", "");
        say("problem", error.message);
        for (const each of listed.querySelectorAll("[data-restore]")) each.disabled = false;
      }
    });
  }
}

const compared = document.getElementById("compared");
if (compared) new ResizeObserver(drawCompared).observe(compared);

/** Two strips, one below the other on one axis: a mark a nominal part, a line the threshold. */
function drawCompared() {
  const sides = JSON.parse(compared.dataset.scores);
  const names = JSON.parse(compared.dataset.names);
  const [width, height, left] = [compared.clientWidth, compared.clientHeight, 12];
  const all = sides.flatMap((side) => [...side.scores, ...(side.fail_at === null ? [] : [side.fail_at])]);
  if (!all.length || !width) return;
  const { low, high, ticks } = roundScale(Math.min(0, ...all), Math.max(...all), 8);
  const x = (score) => left + ((score - low) / (high - low)) * (width - 2 * left);
  const svg = drawn("svg", { class: "chart", role: "img", "aria-label": names.join(", "), viewBox: `0 0 ${width} ${height}` });
  const row = (height - 26) / sides.length;
  sides.forEach((side, at) => {
    const group = drawn("g", { class: "strip" });
    group.append(drawn("text", { x: left, y: at * row + 12 }, names[at]));
    for (const score of side.scores) group.append(drawn("line", { x1: x(score), x2: x(score), y1: at * row + 18, y2: (at + 1) * row - 4 }));
    if (side.fail_at !== null) group.append(drawn("line", { class: "limit", x1: x(side.fail_at), x2: x(side.fail_at), y1: at * row + 8, y2: (at + 1) * row }));
    svg.append(group);
  });
  const axes = drawn("g", { class: "axes" });
  for (const tick of ticks) {
    axes.append(drawn("line", { x1: x(tick), x2: x(tick), y1: height - 24, y2: height - 18 }));
    axes.append(drawn("text", { x: x(tick), y: height - 5, "text-anchor": "middle" }, shown(tick, 4)));
  }
  svg.append(axes);
  compared.replaceChildren(svg);
}
