// Keys: g then a letter goes somewhere; / searches; ? lists all; j k move through rows; data-key="x" gives an element its key.
// data-shortcut="Ctrl Enter" only tells of one that its page handles itself; with data-listed it is told while the element is hidden, too.
import { $, $$, h, readJson, typing } from "./dom.js";
import { openPalette } from "./palette.js";

let leader = 0;

function routes() {
  const map = new Map();
  for (const item of readJson("lobby-palette") || []) {
    const [first, second] = (item.keys || "").split(" ");
    if (first === "g" && second) map.set(second, item);
  }
  return map;
}

function pageKeys() {
  return $$("[data-key]").filter((element) => element.offsetParent !== null);
}

function moveRow(step) {
  const rows = $$("[data-rows] tbody tr").filter((row) => $("a[href]", row));
  if (!rows.length) return false;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
  $("a[href]", row).focus();
  row.scrollIntoView({ block: "nearest" });
  return true;
}

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const cap = (key) => (key === "Ctrl" && isMac ? "⌘" : key.length > 1 ? key : key.toUpperCase());

function fillHelp() {
  const box = $("#keys-page");
  if (!box) return;
  const told = $$("[data-key], [data-shortcut]").filter((element) => "listed" in element.dataset || element.offsetParent !== null);
  const entries = told.map((element) => [element.dataset.keyLabel || element.dataset.palette || element.getAttribute("aria-label") || element.textContent.trim(), element.dataset.shortcut || element.dataset.key]);
  if ($("[data-rows]")) entries.push(["Next, previous row", "j k"]);
  box.replaceChildren(...entries.map(([label, keys]) => h("div", {}, h("dt", {}, label), h("dd", {}, ...keys.split(" ").map((key) => h("kbd", {}, cap(key)))))));
  box.closest("section").hidden = !entries.length;
}

function handle(event) {
  if ((event.metaKey || event.ctrlKey) && !event.altKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
    return;
  }
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || typing(event) || $("dialog[open]")) return;
  const key = event.key;
  if (leader && Date.now() - leader < 1200) {
    leader = 0;
    const item = routes().get(key);
    if (item) {
      event.preventDefault();
      window.location.assign(item.url);
    }
    return;
  }
  if (key === "g") {
    leader = Date.now();
  } else if (key === "?") {
    event.preventDefault();
    fillHelp();
    $("#keys")?.showModal();
  } else if (key === "/") {
    event.preventDefault();
    const search = $("[data-search]");
    if (search) {
      search.focus();
      search.select?.();
    } else openPalette();
  } else if (key === "j" || key === "k") {
    if (moveRow(key === "j" ? 1 : -1)) event.preventDefault();
  } else {
    const element = pageKeys().find((each) => each.dataset.key === key);
    if (element) {
      event.preventDefault();
      if (element.matches("input, textarea, select")) element.focus();
      else element.click();
    }
  }
}

export function initKeys() {
  document.addEventListener("keydown", handle);
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest('[data-open="keys"]')) fillHelp();
  });
  if (!isMac) return;
  for (const node of $$("[data-mod]")) node.textContent = "⌘";
}
