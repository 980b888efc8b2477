// Judges parts again by another threshold, as the worker does: only where the score decided.
"use strict";

/**
 * The verdict of part `at` by other limits; `greyFrom` is null without a grey band. `parts.below` is the verdict below
 * all limits, null where the score did not decide.
 */
function verdictAt(parts, at, failAt, greyFrom) {
  if (parts.below[at] === null) return parts.verdict[at];
  const score = parts.score[at];
  if (score >= failAt) return "FAIL";
  if (greyFrom !== null && score >= greyFrom) return "UNDECIDED";
  return parts.below[at];
}

/** Counts before and after by verdict, and the parts whose verdict changes: `{ before, after, changed: [{ at, from, to }] }`. */
function rejudge(parts, failAt, greyFrom) {
  const none = () => ({ PASS: 0, FAIL: 0, UNDECIDED: 0, FAULT: 0 });
  const found = { before: none(), after: none(), changed: [] };
  for (let at = 0; at < parts.verdict.length; at += 1) {
    const from = parts.verdict[at];
    const to = verdictAt(parts, at, failAt, greyFrom);
    found.before[from] += 1;
    found.after[to] += 1;
    if (from !== to) found.changed.push({ at, from, to });
  }
  return found;
}

/** How many of the parts PASS by these limits, and the 95 % interval of the share: `{ count, of, low, high }`. */
function passing(parts, failAt, greyFrom) {
  const of = parts.verdict.length;
  let count = 0;
  for (let at = 0; at < of; at += 1) if (verdictAt(parts, at, failAt, greyFrom) === "PASS") count += 1;
  const [low, high] = of ? parts.intervals[count] : [null, null];
  return { count, of, low, high };
}

/** How many ascending scores reach a threshold. */
function reaching(scores, failAt) {
  let low = 0;
  let high = scores.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] < failAt) low = middle + 1;
    else high = middle;
  }
  return scores.length - low;
}

/** The expected rate between two points of the recipe's curve, ascending by `fail_at`: `{ rate, low, high }`, or null. */
function expectedAt(curve, failAt) {
  if (!curve.length) return null;
  const after = curve.findIndex((point) => point.fail_at >= failAt);
  if (after === 0) return curve[0];
  if (after < 0) return curve[curve.length - 1];
  const [one, other] = [curve[after - 1], curve[after]];
  const part = (failAt - one.fail_at) / (other.fail_at - one.fail_at);
  const between = (name) => one[name] + part * (other[name] - one[name]);
  return { rate: between("rate"), low: between("low"), high: between("high") };
}
