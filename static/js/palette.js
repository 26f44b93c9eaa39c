// The command palette (Ctrl/Cmd+K): pages, tenants, actions from this page, and what the server finds.
import { $, $$, h, icon, on, readJson } from "./dom.js";

let dialog, input, list;
let found = []; // what the server answered for `asked`
let asked = "";
let controller = null;
let entered = ""; // what Enter was pressed on before the server had answered

function localItems() {
  const items = (readJson("lobby-palette") || []).map((item) => ({ ...item }));
  // Anything on the page with data-palette="Label" is an action: the palette follows the link or presses the button.
  for (const element of $$("[data-palette]")) {
    items.push({
      label: element.dataset.palette,
      icon: element.dataset.paletteIcon || "zap",
      group: element.dataset.paletteGroup || "On this page",
      keys: element.dataset.key || "",
      run: () => element.click(),
    });
  }
  for (const [choice, label, symbol] of [["light", "Light theme", "sun"], ["dark", "Dark theme", "moon"], ["system", "Theme of the system", "monitor"]]) {
    items.push({ label, icon: symbol, group: "Preferences", run: () => window.lobbyTheme.set(choice) });
  }
  items.push({ label: "Keyboard shortcuts", icon: "keyboard", group: "Preferences", keys: "?", run: () => $("#keys")?.showModal() });
  return items;
}

/** Where the letters of `query` stand in `text`, in order; word starts and runs score more. Null where they do not. */
export function match(query, text) {
  const wanted = query.toLowerCase();
  const lower = text.toLowerCase();
  const whole = lower.indexOf(wanted);
  if (whole >= 0) {
    const places = Array.from(wanted, (_letter, at) => whole + at);
    return { score: 100 - whole + (whole === 0 || /\W/.test(lower[whole - 1]) ? 50 : 0), places };
  }
  const places = [];
  let score = 0;
  let from = 0;
  for (const letter of wanted) {
    if (letter === " ") continue;
    const at = lower.indexOf(letter, from);
    if (at < 0) return null;
    score += at === 0 || /\W/.test(lower[at - 1]) ? 8 : at === from ? 4 : 1;
    places.push(at);
    from = at + 1;
  }
  return { score, places };
}

function marked(text, places) {
  const set = new Set(places);
  const out = [];
  for (let at = 0; at < text.length; at += 1) {
    const hit = set.has(at);
    const last = out[out.length - 1];
    if (last && last.hit === hit) last.text += text[at];
    else out.push({ hit, text: text[at] });
  }
  return out.map((part) => (part.hit ? h("mark", {}, part.text) : part.text));
}

function render() {
  const query = input.value.trim();
  let items = localItems().map((item) => ({ item, hit: query ? match(query, item.label) : { score: 0, places: [] } }));
  items = items.filter((entry) => entry.hit);
  if (query) items.sort((a, b) => b.hit.score - a.hit.score);
  if (query && asked === query) items.push(...found.map((item) => ({ item, hit: { score: 0, places: match(query, item.label)?.places || [] } })));
  list.replaceChildren();
  let group = null;
  items.slice(0, 40).forEach(({ item, hit }, at) => {
    const title = query && !found.includes(item) ? "" : item.group || "";
    if (title !== group && title) list.append(h("div", { class: "palette-group", role: "presentation" }, title));
    group = title;
    const row = h(
      "div",
      { class: "palette-item", role: "option", id: `palette-${at}`, "aria-selected": "false" },
      icon(item.icon || "arrow-right"),
      h("span", { class: "truncate" }, ...marked(item.label, hit.places)),
      h("span", { class: "hint" }, ...(item.keys ? item.keys.split(" ").map((key) => h("kbd", {}, key.toUpperCase())) : [item.hint || ""])),
    );
    row.addEventListener("click", () => run(item));
    row.addEventListener("pointermove", () => select(row));
    row.item = item;
    list.append(row);
  });
  if (!items.length) list.append(h("div", { class: "palette-none" }, `Nothing here is called “${query}”.`));
  select($(".palette-item", list));
}

function select(row) {
  for (const each of $$('[aria-selected="true"]', list)) each.setAttribute("aria-selected", "false");
  if (row) row.setAttribute("aria-selected", "true");
  input.setAttribute("aria-activedescendant", row ? row.id : "");
}

// An act is a POST, as the page itself would send it.
function post({ url, data }) {
  const token = JSON.parse(document.body.getAttribute("hx-headers") || "{}")["X-CSRFToken"] || "";
  const fields = Object.entries({ ...data, csrfmiddlewaretoken: token });
  const form = h("form", { method: "post", action: url, hidden: true }, ...fields.map(([name, value]) => h("input", { type: "hidden", name, value })));
  document.body.append(form);
  form.submit();
}

function run(item) {
  dialog.close();
  if (item.run) item.run();
  else if (item.post) post(item.post);
  else if (item.url) window.location.assign(item.url);
}

async function ask(query) {
  const url = dialog.dataset.url;
  if (!url || query.length < 2) return;
  controller?.abort();
  controller = new AbortController();
  try {
    const response = await fetch(`${url}?q=${encodeURIComponent(query)}`, {
      headers: { Accept: "application/json" },
      signal: controller.signal,
    });
    if (!response.ok) return;
    found = (await response.json()).items;
    asked = query;
    render();
    const first = $(".palette-item", list);
    if (dialog.open && entered === query && first) run(first.item);
  } catch (error) {
    if (error.name !== "AbortError") found = [];
  }
}

export function openPalette() {
  if (!dialog || dialog.open) return;
  for (const each of $$("dialog[open]")) each.close();
  input.value = "";
  entered = "";
  found = [];
  render();
  dialog.showModal();
  input.focus();
}

export function initPalette() {
  dialog = $("#palette");
  if (!dialog) return;
  input = $("input", dialog);
  list = $(".palette-list", dialog);
  let timer = 0;
  input.addEventListener("input", () => {
    entered = "";
    render();
    clearTimeout(timer);
    timer = setTimeout(() => ask(input.value.trim()), 120);
  });
  input.addEventListener("keydown", (event) => {
    const rows = $$(".palette-item", list);
    const at = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
    const down = event.key === "ArrowDown" || (event.key === "n" && event.ctrlKey);
    const up = event.key === "ArrowUp" || (event.key === "p" && event.ctrlKey);
    if (down || up) {
      event.preventDefault();
      const row = rows[(at + (down ? 1 : -1) + rows.length) % rows.length];
      select(row);
      row?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      if (rows[at]) run(rows[at].item);
      else if (asked !== input.value.trim()) entered = input.value.trim();
    }
  });
  on("click", "[data-palette-open]", openPalette);
}
