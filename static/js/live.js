// Live parts of a page: <div data-live="1000" hx-get=… hx-trigger="lobby:live">. Asked for again every so many
// milliseconds while the page is looked at, one at a time, and rested when the server does not answer.
const MOST = 30_000;
const waits = new WeakMap();

function tick() {
  if (document.visibilityState === "visible") {
    for (const element of document.querySelectorAll("[data-live]")) {
      const state = waits.get(element) || { next: performance.now() + Number(element.dataset.live), busy: false, failures: 0 };
      waits.set(element, state);
      // Somebody who reads by keyboard, or is choosing something in it, is not disturbed.
      const used = element.contains(document.activeElement) || element.querySelector("details[open]");
      if (state.busy || used || performance.now() < state.next) continue;
      state.busy = true;
      element.dispatchEvent(new CustomEvent("lobby:live"));
    }
  }
  setTimeout(tick, 100);
}

document.addEventListener("htmx:afterRequest", (event) => {
  const element = event.detail.elt;
  const state = waits.get(element);
  if (!state || event.detail.xhr?.getResponseHeader("HX-Refresh")) return; // the whole page is on its way: no more of this one
  state.busy = false;
  state.failures = event.detail.successful ? 0 : state.failures + 1;
  state.next = performance.now() + Math.min(Number(element.dataset.live) * 2 ** state.failures, MOST);
});
// A failed poll is no news: no toast.
for (const type of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(type, (event) => event.detail.elt?.closest?.("[data-live]") && event.stopImmediatePropagation(), true);
}
tick();
