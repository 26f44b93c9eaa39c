// The upload of a file shows how much of it has gone; a column that is "a variable named…" asks for the name.
document.addEventListener("htmx:xhr:progress", (event) => {
  const bar = event.target.querySelector?.("progress[data-sending]");
  if (!bar || !event.detail.lengthComputable) return;
  bar.hidden = false;
  bar.max = event.detail.total;
  bar.value = event.detail.loaded;
});
document.addEventListener("htmx:beforeRequest", (event) => {
  const button = event.target.querySelector?.("[data-send]");
  if (button) button.disabled = true;
});
document.addEventListener("htmx:afterRequest", (event) => {
  const button = event.target.querySelector?.("[data-send]");
  if (button) button.disabled = false;
});
function named(select) {
  const field = document.getElementById(select.dataset.named);
  if (field) field.hidden = select.value !== "input:";
}
for (const select of document.querySelectorAll("[data-named]")) {
  named(select);
  select.addEventListener("change", () => named(select));
}
