// Toasts: from Django's messages (rendered by the server), from the HX-Trigger event "toast", and from other modules.
import { $, $$, h, icon, on, onContent } from "./dom.js";

const ICONS = { success: "circle-check", error: "circle-alert", warning: "triangle-alert", info: "info", debug: "info" };
const LIFETIME = 6000;
const timers = new WeakMap();

function arm(node) {
  if (node.dataset.level === "error") return; // an error stays until it is read
  timers.set(node, setTimeout(() => node.remove(), node.querySelector("[data-undo]") ? LIFETIME * 1.5 : LIFETIME));
}

/** @param {{message: string, level?: string, undo?: {url: string, label?: string}, link?: {url: string, label: string}}} toast */
export function toast({ message, level = "info", undo, link }) {
  const node = h(
    "div",
    { class: `toast toast-${level}`, "data-level": level },
    icon(ICONS[level] || "info"),
    h("div", { class: "toast-text" }, message),
    undo ? h("button", { type: "button", class: "btn btn-sm", "data-undo": undo.url }, undo.label || "Undo") : null,
    link ? h("a", { class: "btn btn-sm", href: link.url }, link.label) : null,
    h("button", { type: "button", class: "btn btn-ghost btn-sm btn-icon", "data-dismiss": true, "aria-label": "Dismiss" }, icon("x")),
  );
  $("#toasts")?.append(node);
  arm(node);
  return node;
}

export function initToasts() {
  onContent((root) => {
    for (const node of $$(".toast:not([data-armed])", root)) {
      node.dataset.armed = "";
      if (!timers.has(node)) arm(node);
    }
  });
  on("click", ".toast [data-dismiss]", (_event, button) => button.closest(".toast").remove());
  on("click", ".toast [data-undo]", (_event, button) => {
    button.closest(".toast").remove();
    window.htmx?.ajax("POST", button.dataset.undo, { target: "#main", swap: "none" });
  });
  for (const type of ["mouseenter", "focusin"]) {
    document.addEventListener(
      type,
      (event) => {
        const node = event.target instanceof Element ? event.target.closest(".toast") : null;
        if (node) clearTimeout(timers.get(node));
      },
      true,
    );
  }
  // django_htmx.http.trigger_client_event(response, "toast", {...}), or several under {"items": [...]}.
  document.addEventListener("toast", (event) => {
    const detail = event.detail || {};
    for (const item of detail.items || [detail]) toast(item);
  });
  document.addEventListener("htmx:responseError", (event) => {
    const { xhr } = event.detail;
    if (xhr.getResponseHeader("HX-Trigger")?.includes("toast")) return;
    const retry = xhr.getResponseHeader("Retry-After");
    const texts = {
      403: "You may not do that here.",
      404: "That no longer exists.",
      409: "Someone changed this meanwhile. Reload and try again.",
      429: retry ? `Too many requests. Try again in ${retry} s.` : "Too many requests. Try again in a moment.",
    };
    toast({ level: "error", message: texts[xhr.status] || `The server could not do that (${xhr.status}). Nothing was changed.` });
  });
  document.addEventListener("htmx:sendError", () => {
    toast({ level: "error", message: "No connection to the portal. Check the network and try again." });
  });
}
