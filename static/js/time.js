// Relative times stay true while the page is open. The steps are those of portal/formats.py.
import { $$, onContent } from "./dom.js";

const STEPS = [
  [3600, 60, "min"],
  [86400, 3600, "h"],
  [30 * 86400, 86400, "d"],
  [365 * 86400, 30 * 86400, "mo"],
  [Infinity, 365 * 86400, "y"],
];

export function relative(moment, now = Date.now()) {
  const seconds = (now - moment) / 1000;
  const amount = Math.abs(seconds);
  if (amount < 45) return seconds >= 0 ? "just now" : "in a moment";
  const [, size, unit] = STEPS.find(([limit]) => amount < limit);
  const text = `${Math.max(1, Math.round(amount / size))} ${unit}`;
  return seconds >= 0 ? `${text} ago` : `in ${text}`;
}

function refresh(root) {
  for (const node of $$("time[data-rel]", root)) {
    const text = relative(Date.parse(node.dateTime));
    if (node.textContent !== text) node.textContent = text;
  }
}

export function initTimes() {
  onContent(refresh);
  setInterval(() => document.hidden || refresh(document), 30000);
}
