// The prompt editor: messages are added, moved and removed; the preview follows; Ctrl or Cmd with Enter saves.
const editor = document.querySelector("[data-editor]");

function edited() {
  editor.dispatchEvent(new CustomEvent("lobby:edited"));
}

editor?.addEventListener("click", (event) => {
  const list = editor.querySelector("[data-messages]");
  const button = event.target.closest("button");
  if (!button) return;
  const message = button.closest("[data-message]");
  if ("addMessage" in button.dataset) {
    const added = document.getElementById("message-template").content.firstElementChild.cloneNode(true);
    list.append(added);
    added.querySelector("textarea").focus();
  } else if (button.dataset.move) {
    const up = button.dataset.move === "-1";
    const other = up ? message.previousElementSibling : message.nextElementSibling;
    if (!other) return;
    if (up) other.before(message);
    else other.after(message);
    button.focus();
  } else if ("remove" in button.dataset) {
    if (list.children.length < 2) return;
    const next = message.nextElementSibling || message.previousElementSibling;
    message.remove();
    next.querySelector("textarea").focus();
  } else {
    return;
  }
  edited();
});

editor?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    editor.querySelector("[data-save]").click();
  }
});
