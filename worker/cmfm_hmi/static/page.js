// What every page shares: requests with the CSRF token, words, numbers, elements.
"use strict";

/** POST with the CSRF token. `body` is FormData or an object sent as a form. Resolves to JSON; rejects with a sentence. */
async function post(address, body = {}) {
  const form = body instanceof FormData ? body : new URLSearchParams(body);
  const response = await fetch(address, {
    method: "POST",
    body: form,
    headers: { "X-CSRF-Token": document.body.dataset.csrf, Accept: "application/json" },
  });
  return answer(response);
}

/** GET JSON. Rejects with the server's sentence. */
async function getJson(address) {
  return answer(await fetch(address, { headers: { Accept: "application/json" } }));
}

async function answer(response) {
  const isJson = (response.headers.get("Content-Type") || "").startsWith("application/json");
  const content = isJson ? await response.json() : {};
  if (!response.ok) throw new Error(content.error || `HTTP ${response.status}`);
  return content;
}

/** The words of a script: `data-texts` of an element, JSON. */
function textsOf(element) {
  return JSON.parse(element.dataset.texts);
}

/** Fill `{name}` in a sentence. */
function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

const numberFormats = new Map();

/** A number in the page's language with so many significant digits; "–" for none. */
function shown(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (!numberFormats.has(digits)) {
    const language = document.documentElement.lang;
    numberFormats.set(digits, new Intl.NumberFormat(language, { maximumSignificantDigits: digits }));
  }
  return numberFormats.get(digits).format(value);
}

/** The significant digits, 3 to 7, at which a score and its threshold look different. */
function digitsApart(score, threshold) {
  let digits = 3;
  const alike = () => score.toPrecision(digits) === threshold.toPrecision(digits);
  while (score !== null && threshold !== null && score !== threshold && digits < 7 && alike()) digits += 1;
  return digits;
}

/** Make an element: `make("td", { class: "right" }, "text", child)`. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
