// Dialogs, side panels, confirmations, menus, tabs, copying, the small-screen sidebar.
import { $, $$, h, icon, on, onContent } from "./dom.js";
import { toast } from "./toasts.js";

export function initDialogs() {
  // <button data-open="dialog-id">, <button data-close>
  on("click", "[data-open]", (_event, button) => document.getElementById(button.dataset.open)?.showModal());
  on("click", "[data-close]", (_event, button) => button.closest("dialog")?.close());
  // A press and a release both on the backdrop close; a text selection that ends there does not.
  let pressed = null;
  document.addEventListener("pointerdown", (event) => (pressed = event.target));
  document.addEventListener("click", (event) => {
    if (event.target instanceof HTMLDialogElement && pressed === event.target && !("sticky" in event.target.dataset)) event.target.close();
  });
  // A fragment brought into <dialog data-auto-open> (or its body) opens it; the server closes it by HX-Trigger "dialog:close".
  document.addEventListener("htmx:afterSwap", (event) => {
    const dialog = event.detail.target?.closest?.("dialog[data-auto-open]");
    if (dialog && !dialog.open) dialog.showModal();
  });
  document.addEventListener("dialog:close", () => $$("dialog[open]").forEach((dialog) => dialog.close()));
  onContent((root) => {
    for (const dialog of $$("dialog[data-open-now]", root)) if (!dialog.open) dialog.showModal();
  });
}

function ask({ title, text, action, tone }) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "confirm-title" },
      h("div", { class: "dialog-head" }, h("h2", { id: "confirm-title" }, title)),
      h("div", { class: "dialog-body" }, text ? h("p", {}, text) : null),
      h(
        "div",
        { class: "dialog-foot" },
        h("button", { type: "button", class: "btn", value: "no", autofocus: true, onclick: () => dialog.close("no") }, "Cancel"),
        h(
          "button",
          { type: "button", class: `btn ${tone === "danger" ? "btn-danger-fill" : "btn-primary"}`, onclick: () => dialog.close("yes") },
          action,
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

function question(element, fallback) {
  return {
    title: element.dataset.confirm || fallback,
    text: element.dataset.confirmText || "",
    action: element.dataset.confirmAction || element.textContent.trim() || "Continue",
    tone: element.dataset.confirmTone || (element.matches(".btn-danger, .btn-danger-fill, .danger") ? "danger" : ""),
  };
}

export function initConfirm() {
  // With htmx: data-confirm (or hx-confirm) on the element that sends.
  document.addEventListener("htmx:confirm", (event) => {
    const element = event.detail.elt;
    const submitter = event.detail.triggeringEvent?.submitter;
    const asking = submitter?.dataset.confirm ? submitter : element;
    if (!event.detail.question && !asking.dataset.confirm) return;
    event.preventDefault();
    ask(question(asking, event.detail.question)).then((yes) => yes && event.detail.issueRequest(true));
  });
  // Without: a submit button of a plain form.
  on("submit", "form", (event, form) => {
    const button = event.submitter;
    if (!button?.dataset.confirm || button.dataset.confirmed || form.matches("[hx-post], [hx-put], [hx-patch], [hx-delete], [hx-get]")) return;
    event.preventDefault();
    ask(question(button)).then((yes) => {
      if (!yes) return;
      button.dataset.confirmed = "yes";
      form.requestSubmit(button);
    });
  });
}

export function initMenus() {
  document.addEventListener("click", (event) => {
    for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  on("click", ".menu-list a, .menu-list button:not([data-keep])", (_event, item) => {
    const menu = item.closest("details.menu");
    if (menu) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.target instanceof Element ? event.target.closest("details.menu[open]") : null;
    if (!menu) return;
    const items = $$(".menu-item, .menu-list button", menu);
    const at = items.indexOf(document.activeElement);
    if (event.key === "Escape") {
      menu.open = false;
      $("summary", menu).focus();
      event.stopPropagation();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      items[(at + step + items.length) % items.length]?.focus();
    }
  });
}

function selectTab(tab, focus) {
  const list = tab.closest("[role=tablist]");
  for (const each of $$("[role=tab]", list)) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", chosen);
    each.tabIndex = chosen ? 0 : -1;
    const panel = document.getElementById(each.getAttribute("aria-controls"));
    if (panel) panel.hidden = !chosen;
  }
  if (focus) tab.focus();
}

export function initTabs() {
  on("click", "[role=tab]", (_event, tab) => {
    selectTab(tab);
    // The language of code is one choice for all snippets, on this page and the next.
    const language = tab.dataset.lang;
    if (!language) return;
    try {
      localStorage.setItem("lobby-lang", language);
    } catch {
      /* not remembered */
    }
    $$(`[role=tab][data-lang="${CSS.escape(language)}"]`).forEach((each) => each !== tab && selectTab(each));
  });
  on("keydown", "[role=tab]", (event, tab) => {
    const tabs = $$("[role=tab]", tab.closest("[role=tablist]"));
    const at = tabs.indexOf(tab);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    selectTab(tabs[(next + tabs.length) % tabs.length], true);
  });
  onContent((root) => {
    // On a phone the row of tabs is wider than the screen.
    for (const tab of $$(".tabs .tab[aria-current]", root)) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 24;
    let language = null;
    try {
      language = localStorage.getItem("lobby-lang");
    } catch {
      return;
    }
    if (language) $$(`[role=tab][data-lang="${CSS.escape(language)}"]`, root).forEach((tab) => selectTab(tab));
  });
}

export function initCopy() {
  // data-copy="#id" copies that element's text; data-copy-text="…" copies the text itself.
  on("click", "[data-copy], [data-copy-text]", async (_event, button) => {
    const scope = button.closest(".code");
    const source = button.dataset.copy ? $(button.dataset.copy) : $$("pre", scope || document).find((pre) => !pre.closest("[hidden]"));
    const text = button.dataset.copyText ?? source?.textContent ?? "";
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      toast({ level: "warning", message: "The browser did not allow copying. Select the text and copy it yourself." });
      return;
    }
    const use = $("use", button);
    const before = use?.getAttribute("href");
    use?.setAttribute("href", `${document.documentElement.dataset.icons}#check`);
    button.classList.add("copied");
    $("#announce").textContent = "Copied";
    setTimeout(() => {
      button.classList.remove("copied");
      if (before) use.setAttribute("href", before);
      $("#announce").textContent = "";
    }, 1400);
  });
  on("click", "[data-reveal]", (_event, button) => {
    const input = document.getElementById(button.dataset.reveal);
    const show = input.type === "password";
    input.type = show ? "text" : "password";
    button.setAttribute("aria-pressed", show);
    $("use", button)?.setAttribute("href", `${document.documentElement.dataset.icons}#${show ? "eye-off" : "eye"}`);
  });
}

export function initSidebar() {
  const side = $("#side");
  const toggle = $(".nav-toggle");
  if (!side || !toggle) return;
  const scrim = h("button", { class: "scrim", type: "button", "aria-label": "Close navigation", hidden: true });
  side.after(scrim);
  const set = (open) => {
    side.classList.toggle("open", open);
    scrim.hidden = !open;
    toggle.setAttribute("aria-expanded", open);
    if (open) $("a, button, summary", side)?.focus();
    else if (side.contains(document.activeElement)) toggle.focus();
  };
  toggle.addEventListener("click", () => set(!side.classList.contains("open")));
  scrim.addEventListener("click", () => set(false));
  document.addEventListener("keydown", (event) => event.key === "Escape" && side.classList.contains("open") && set(false));
}

export function initTheme() {
  const show = () => {
    for (const button of $$("[data-theme-set]")) button.setAttribute("aria-pressed", button.dataset.themeSet === window.lobbyTheme.choice);
  };
  on("click", "[data-theme-set]", (_event, button) => window.lobbyTheme.set(button.dataset.themeSet));
  document.addEventListener("lobby:theme", show);
  onContent(show);
}

/** Bulk actions: a .bulk bar in the table's wrap shows while rows are ticked. */
export function initBulk() {
  on("change", "[data-select-all], [data-select]", (_event, box) => {
    const wrap = box.closest(".table-wrap");
    const boxes = $$("[data-select]", wrap);
    if ("selectAll" in box.dataset) boxes.forEach((each) => (each.checked = box.checked));
    const chosen = boxes.filter((each) => each.checked);
    boxes.forEach((each) => each.closest("tr")?.setAttribute("aria-selected", each.checked));
    const all = $("[data-select-all]", wrap);
    if (all) {
      all.checked = chosen.length === boxes.length && boxes.length > 0;
      all.indeterminate = chosen.length > 0 && chosen.length < boxes.length;
    }
    const bar = $(".bulk", wrap);
    bar?.classList.toggle("open", chosen.length > 0);
    const count = $("[data-count]", wrap);
    if (count) count.textContent = `${chosen.length} selected`;
  });
  // A table wider than its box scrolls by itself, and then its head cannot stick to the page.
  const measure = () => $$(".table-scroll").forEach((box) => {
    box.classList.add("scrolls");
    const wide = box.scrollWidth > box.clientWidth + 1;
    box.classList.toggle("scrolls", wide);
    if (wide) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
  onContent(measure);
  window.addEventListener("resize", measure, { passive: true });
}

export function initBusy() {
  const bar = h("div", { class: "busy-bar", "aria-hidden": "true" });
  document.body.append(bar);
  let running = 0;
  const show = (change) => {
    running = Math.max(0, running + change);
    bar.classList.toggle("on", running > 0);
  };
  document.addEventListener("htmx:beforeRequest", (event) => event.detail.elt?.closest?.("[data-quiet]") || show(1));
  document.addEventListener("htmx:afterRequest", (event) => event.detail.elt?.closest?.("[data-quiet]") || show(-1));
}
