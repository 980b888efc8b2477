// The gallery and one part: layers of pictures, the history of a place, the replay, and what to say about a gone picture.
"use strict";

const POLL_MS = 700;
const BUSY = 503;
const TRIES = 4;
const RETRY_MS = 1500;

/** The server's sentence about an address that gave no picture. */
async function sentenceOf(address, otherwise) {
  try {
    await getJson(address);
  } catch (error) {
    return error.message;
  }
  return otherwise;
}

/** A picture of the gallery is asked for again while the page is busy; one that is gone leaves a sentence. */
async function pictureFailed(image) {
  const tries = Number(image.dataset.tries || 0) + 1;
  image.dataset.tries = tries;
  const status = tries > TRIES ? 0 : await fetch(image.src).then((response) => response.status, () => 0);
  if (status !== BUSY) return image.replaceWith(make("span", { class: "missing" }, image.dataset.missing));
  await new Promise((resolve) => setTimeout(resolve, tries * RETRY_MS));
  image.src = `${image.src.split("?")[0]}?${tries}`;
}

for (const image of document.querySelectorAll(".gallery img")) {
  image.addEventListener("error", () => pictureFailed(image));
  if (image.complete && !image.naturalWidth) pictureFailed(image);
}

/** The picture, or the depth, below; one of the maps above it; the slider blends them. */
function openLayers(layers) {
  const [base, over, blend] = [layers.querySelector(".base"), layers.querySelector(".over"), document.getElementById("blend")];
  const problem = document.getElementById("layer-problem");
  const home = layers.dataset.home;
  for (const image of layers.querySelectorAll("img")) {
    const failed = async () => {
      problem.textContent = await sentenceOf(image.src, layers.dataset.missing);
      problem.hidden = false;
      image.hidden = true;
    };
    image.addEventListener("error", failed);
    image.addEventListener("load", () => (image.hidden = false));
    if (image.complete && !image.naturalWidth) failed();
  }
  const show = () => (over.style.opacity = blend.value / 100);
  if (blend) {
    blend.addEventListener("input", show);
    show();
  }
  const choose = (name, image) => {
    for (const choice of document.querySelectorAll(`input[name=${name}]`)) {
      choice.addEventListener("change", () => {
        problem.hidden = true;
        image.src = `${home}/${choice.value}.png`;
      });
    }
  };
  choose("base", base);
  choose("over", over);
  const outlines = document.getElementById("outlines");
  if (outlines) outlines.addEventListener("change", () => layers.querySelector(".regions").toggleAttribute("hidden", !outlines.checked));
}

const layers = document.getElementById("layers");
if (layers) openLayers(layers);

const frame = document.getElementById("frame-problem");
if (frame) {
  getJson(frame.dataset.frame).catch((error) => {
    frame.textContent = error.message;
    frame.hidden = false;
  });
}

/** Load the history of the place of region `number`. */
async function showPlace(place, number) {
  const values = document.getElementById("place-values");
  try {
    const response = await fetch(`${place.dataset.place}/${number}`, { headers: { Accept: "text/html, application/json" } });
    if (!response.ok) throw new Error(place.dataset.missing);
    values.innerHTML = await response.text(); // our own template
  } catch (error) {
    values.textContent = error.message;
  }
}

const place = document.getElementById("place");
if (place) {
  const which = document.getElementById("place-number");
  if (which) which.addEventListener("change", () => showPlace(place, which.value));
  showPlace(place, 0);
}

/** Load the page again once the replay has ended. */
async function awaitReplay(section) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const state = await getJson(section.dataset.replay).catch(() => ({ running: false }));
    if (!state.running) break;
  }
  window.location.replace(`${window.location.pathname}${window.location.search}#replay`);
  window.location.reload();
}

const replay = document.getElementById("replay");
if (replay && replay.dataset.state === "running") awaitReplay(replay);
