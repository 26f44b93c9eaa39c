// Rows that can be put in order: dragged by their handle, or moved by their buttons and by Alt with the arrows. The
// order is what each row's own number field says, so that it can be typed, too.
import { $, $$ } from "./dom.js";

const rowsOf = (list) => $$("[data-order-row]", list);

function renumber(list) {
  rowsOf(list).forEach((row, index) => {
    const place = $("[data-order-place]", row);
    if (place) place.value = index + 1;
  });
}

function move(list, row, step) {
  const rows = rowsOf(list);
  const target = rows[rows.indexOf(row) + step];
  if (!target) return;
  if (step < 0) target.before(row);
  else target.after(row);
  renumber(list);
}

function start(list) {
  let dragged = null;
  list.addEventListener("click", (event) => {
    const button = event.target.closest("[data-order-move]");
    if (!button) return;
    move(list, button.closest("[data-order-row]"), Number(button.dataset.orderMove));
    button.focus();
  });
  list.addEventListener("keydown", (event) => {
    const row = event.target.closest("[data-order-row]");
    if (!row || !event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    move(list, row, event.key === "ArrowUp" ? -1 : 1);
    event.target.focus();
  });
  list.addEventListener("dragstart", (event) => {
    const handle = event.target.closest("[data-order-handle]");
    if (!handle) return;
    dragged = handle.closest("[data-order-row]");
    dragged.classList.add("is-dragged");
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", "");
    event.dataTransfer.setDragImage(dragged, 0, 0);
  });
  list.addEventListener("dragover", (event) => {
    if (!dragged) return;
    event.preventDefault();
    const over = event.target.closest("[data-order-row]");
    if (!over || over === dragged) return;
    const box = over.getBoundingClientRect();
    if (event.clientY < box.top + box.height / 2) over.before(dragged);
    else over.after(dragged);
  });
  for (const end of ["drop", "dragend"]) {
    list.addEventListener(end, (event) => {
      if (!dragged) return;
      event.preventDefault();
      dragged.classList.remove("is-dragged");
      dragged = null;
      renumber(list);
    });
  }
}

// What a long list of choices offers, narrowed down by the words that are typed: what is chosen stays.
function narrow(field) {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const select of $$(`select[name="${field.dataset.narrow}"]`)) {
    for (const option of $$("option", select)) {
      const text = option.textContent.toLowerCase();
      option.hidden = Boolean(option.value) && !option.selected && !words.every((word) => text.includes(word));
    }
    for (const group of $$("optgroup", select)) group.hidden = $$("option", group).every((option) => option.hidden);
  }
}

for (const list of $$("[data-order]")) start(list);
for (const field of $$("[data-narrow]")) {
  field.addEventListener("input", () => narrow(field));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });
}
