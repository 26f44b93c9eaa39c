// The composer: the message, its files, and what it will cost.
import { $, h, icon } from "../dom.js";
import { toast } from "../toasts.js";

const IMAGES = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const MOST_BYTES = 6 * 1024 * 1024;
const MOST_FILES = 8;

export class Composer {
  constructor(root, page) {
    this.page = page;
    this.text = $('[data-testid="composer"]', root);
    this.list = $("#play-files");
    this.input = $("#play-file");
    this.files = [];
    this.text.addEventListener("input", () => {
      page.alert("");
      page.changed();
    });
    this.input.addEventListener("change", () => {
      this.add([...this.input.files]); // the list is the input's own, and is emptied with it
      this.input.value = "";
    });
    $("#play-attach").addEventListener("click", () => this.input.click());
    this.text.addEventListener("paste", (event) => {
      if (!event.clipboardData?.files.length) return;
      event.preventDefault();
      this.add([...event.clipboardData.files]);
    });
    root.addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
    root.addEventListener("drop", (event) => {
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      this.add([...event.dataTransfer.files]);
    });
  }

  async add(files) {
    for (const file of files) {
      if (this.files.length >= MOST_FILES) {
        toast({ level: "warning", message: `At most ${MOST_FILES} files fit one message.` });
        break;
      }
      if (file.size + this.files.reduce((sum, each) => sum + each.size, 0) > MOST_BYTES) {
        toast({ level: "warning", message: `${file.name} is too large: 6 MB of files fit one message.` });
        continue;
      }
      const isImage = IMAGES.includes(file.type);
      const data = isImage ? await base64(file) : await readText(file);
      if (data == null) {
        toast({ level: "warning", message: `${file.name} is neither an image (PNG, JPEG, WebP, GIF) nor a text file.` });
        continue;
      }
      this.page.alert("");
      this.files.push({ name: file.name || "pasted", media_type: isImage ? file.type : "text/plain", data, size: file.size, isImage });
    }
    this.show();
    this.page.changed();
  }

  show() {
    this.list.hidden = !this.files.length;
    this.list.replaceChildren(
      ...this.files.map((file, at) =>
        h(
          "span",
          { class: "chip", "data-testid": "file" },
          icon(file.isImage ? "image" : "file-text"),
          file.name,
          h("button", { type: "button", class: "btn btn-ghost btn-sm btn-icon", "aria-label": `Remove ${file.name}`, onclick: () => this.remove(at) }, icon("x")),
        ),
      ),
    );
  }

  remove(at) {
    this.files.splice(at, 1);
    this.show();
    this.page.alert("");
    this.page.changed();
    this.text.focus({ preventScroll: true });
  }

  /** Files that the conversation has already, of a message that is edited. */
  keep(files) {
    this.files = files.map((file) => ({ name: file.name, size: file.size, isImage: file.image, id: file.id, data: "" }));
    this.show();
  }

  kept() {
    return this.files.filter((file) => file.id).map((file) => file.id);
  }

  get message() {
    return this.text.value.trim();
  }

  get empty() {
    return !this.message && !this.files.length;
  }

  attachments() {
    return this.files.filter((file) => !file.id).map(({ name, media_type, data }) => ({ name, media_type, data }));
  }

  get hasImages() {
    return this.files.some((file) => file.isImage);
  }

  clear() {
    this.text.value = "";
    this.files = [];
    this.show();
  }
}

function base64(file) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => resolve(null);
    reader.readAsDataURL(file);
  });
}

async function readText(file) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    return text.includes("\0") || !text ? null : text;
  } catch {
    return null;
  }
}
