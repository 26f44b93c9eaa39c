/* What a reader does before the page's scripts are there is done once they are: no press of a button is lost, and none
   goes without the confirmation that a script would have asked for. Classic script, kept tiny. */
(function () {
  "use strict";
  const types = ["click", "submit", "input", "change"];
  const early = [];
  const pressed = new Set(); // once each: who presses again since nothing happens means one press

  function keep(event) {
    const target = event.target;
    if (event.type === "input" || event.type === "change") {
      early.push(() => target.dispatchEvent(new Event(event.type, { bubbles: true })));
      return; // the field has its value already; only who listens to it comes later
    }
    const what = event.type === "click" ? target.closest("button, a[hx-get], a[hx-post], a[data-open]") : target;
    if (!what || event.ctrlKey || event.metaKey || event.shiftKey) return; // a link that opens elsewhere needs no script
    event.preventDefault();
    event.stopImmediatePropagation();
    if (pressed.has(what)) return;
    pressed.add(what);
    early.push(() => what.isConnected && (event.type === "click" ? what.click() : what.requestSubmit(event.submitter)));
  }

  for (const type of types) document.addEventListener(type, keep, true);
  document.addEventListener("DOMContentLoaded", () => {
    for (const type of types) document.removeEventListener(type, keep, true);
    setTimeout(() => early.forEach((again) => again())); // htmx sets itself up in a later listener of this event
  });
})();
