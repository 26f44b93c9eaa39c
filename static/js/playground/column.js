// A column: its model, its settings, and the questions and answers of the branch that is shown.
import { $, h, icon } from "../dom.js";
import { askedWith, ColumnPrompt } from "./prompt.js";

const LETTERS = "ABCD";

export class Column {
  constructor(settings, page) {
    this.page = page;
    this.settings = { model: "", system: "", parameters: {}, tools: [], schema: null, prompt: null, ...settings };
    const fresh = Boolean(this.settings.prompt && !this.settings.prompt.variables); // named by the page's address
    if (this.settings.prompt) this.settings.prompt = { variables: {}, ...this.settings.prompt };
    this.build();
    this.showModels(fresh);
  }

  build() {
    this.letter = h("span", { class: "column-letter", "aria-hidden": "true" });
    this.jump = h("button", { type: "button", class: "tab truncate", "data-testid": "jump", onclick: () => this.element.scrollIntoView({ block: "nearest" }) });
    this.select = h("select", { "aria-label": "Model, route or prompt", "data-testid": "model" });
    this.select.addEventListener("change", () => this.choose(this.select.value));
    this.prompt = new ColumnPrompt(this);
    this.hiddenName = h("span", { class: "strong column-hidden", hidden: true }, "Hidden until you vote");
    this.simulated = h("span", { class: "badge badge-warn", hidden: true }, "Simulated");
    this.settingsButton = h("button", { type: "button", class: "btn btn-ghost btn-sm btn-icon", "aria-label": "Settings of this column", title: "Settings", "data-testid": "settings", onclick: () => this.page.openSettings(this) }, icon("settings"));
    this.codeButton = h("button", { type: "button", class: "btn btn-ghost btn-sm btn-icon", "aria-label": "View code", title: "View code", "data-testid": "view-code", onclick: () => this.page.viewCode(this) }, icon("code"));
    this.removeButton = h("button", { type: "button", class: "btn btn-ghost btn-sm btn-icon", "aria-label": "Remove this column", title: "Remove", "data-testid": "remove-column", onclick: () => this.page.removeColumn(this) }, icon("x"));
    this.head = h("header", { class: "column-head" }, this.letter, this.select, this.hiddenName, this.simulated, h("span", { class: "push row row-nowrap column-tools" }, this.settingsButton, this.codeButton, this.removeButton));
    this.note = h("div", { class: "column-note text-3 text-xs" });
    this.scroll = h("div", { class: "column-scroll", tabindex: 0, role: "log", "aria-live": "off" });
    this.inner = h("div", { class: "column-inner" });
    this.scroll.append(this.inner);
    this.element = h("section", { class: "column", "data-testid": "column" }, this.head, this.prompt.element, this.note, this.scroll);
    // Whoever scrolls up reads there; until then, and again from the end, the column follows what comes.
    this.follows = true;
    this.top = 0;
    this.scroll.addEventListener(
      "scroll",
      () => {
        const { scrollTop } = this.scroll;
        if (this.atEnd()) this.follows = true;
        else if (scrollTop < this.top - 2) this.follows = false;
        this.top = scrollTop;
        this.page.scrolled(this);
      },
      { passive: true },
    );
  }

  /** A model's or a route's slug, or ``prompt:`` and a prompt's id. */
  choose(value) {
    if (value.startsWith("prompt:")) this.prompt.choose(value.slice(7));
    else {
      this.settings.prompt = null;
      this.settings.model = value;
      this.prompt.load();
    }
    this.describe();
    this.welcomeAgain();
    this.page.alert("");
    this.page.changed();
  }

  /** Anew, when another project is chosen; ``fresh``: its prompt's variables begin with their examples. */
  showModels(fresh = false) {
    const { models, prompts } = this.page;
    const { prompt } = this.settings;
    if (!prompt && !this.settings.model && models.length) this.settings.model = models[0].slug;
    const options = this.page.callables(prompt ? "" : this.settings.model);
    const offered = prompts.map((each) => h("option", { value: `prompt:${each.id}` }, each.name));
    if (prompt && !prompts.some((each) => each.id === prompt.id)) offered.unshift(h("option", { value: `prompt:${prompt.id}` }, prompt.id));
    if (offered.length) options.push(h("optgroup", { label: "Prompts of the catalog" }, ...offered));
    this.select.replaceChildren(...options);
    this.select.value = prompt ? `prompt:${prompt.id}` : this.settings.model;
    this.prompt.load(fresh);
    this.describe();
  }

  /** What is called: the column's own choice, or its prompt's. */
  get called() {
    return this.settings.model || this.prompt.loaded?.model || "";
  }

  get model() {
    return this.page.models.find((model) => model.slug === this.called);
  }

  get name() {
    if (this.settings.prompt) return this.prompt.name;
    return this.model?.name || this.page.routes.find((route) => route.slug === this.called)?.name || this.called;
  }

  can(what) {
    return !this.model || this.model.can.includes(what);
  }

  isInView(is) {
    if (is) this.jump.setAttribute("aria-current", "true");
    else this.jump.removeAttribute("aria-current");
  }

  describe() {
    const { blind } = this.page;
    const at = this.page.columns.indexOf(this);
    this.letter.textContent = LETTERS[at] || "";
    this.letter.hidden = this.page.columns.length < 2;
    this.jump.textContent = blind ? `Column ${LETTERS[at]}` : `${LETTERS[at]} · ${this.name}`;
    this.element.setAttribute("aria-label", blind ? `Column ${LETTERS[at]}` : `Column ${LETTERS[at]}: ${this.name}`);
    this.select.hidden = blind;
    this.prompt.element.hidden = blind || !this.settings.prompt;
    this.hiddenName.hidden = !blind;
    this.settingsButton.hidden = this.codeButton.hidden = blind;
    this.removeButton.hidden = this.page.columns.length < 2 || blind || !this.page.mayRun;
    this.select.disabled = !this.page.mayRun;
    // The name says it as well, mostly.
    this.simulated.hidden = blind || !this.model?.simulated || this.model.name.includes("simulated");
    const { parameters, tools, schema, system } = this.settings;
    const notes = [];
    if (system && !this.settings.prompt) notes.push("system prompt");
    for (const [name, value] of Object.entries(parameters)) if (value != null) notes.push(`${name.replaceAll("_", " ")} ${Array.isArray(value) ? value.length : value}`);
    if (tools.length) notes.push(tools.length === 1 ? "1 tool" : `${tools.length} tools`);
    if (schema) notes.push("JSON schema");
    this.note.textContent = blind ? "" : notes.join(" · ");
    this.note.hidden = !this.note.textContent;
  }

  /** As it goes over the wire. */
  value() {
    const parameters = Object.fromEntries(Object.entries(this.settings.parameters).filter(([, value]) => value != null));
    const { prompt } = this.settings;
    return { ...this.settings, parameters, ...(prompt ? { system: "" } : {}) };
  }

  atEnd() {
    return this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < 80;
  }

  toEnd() {
    this.follows = true;
    this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  /** The branch: its questions and this column's answers. */
  render(path, at) {
    const children = path.flatMap((turn) => {
      const answers = this.page.answersOf(turn, at).map((answer) => answer.element);
      return [this.question(turn, at), ...(answers.length ? answers : [h("p", { class: "text-3 text-sm" }, at ? "This column was not asked." : "No answer.")])];
    });
    if (!path.length) children.push(this.welcome());
    this.inner.replaceChildren(...children);
  }

  /** With what is chosen now. */
  welcomeAgain() {
    $(".column-welcome", this.inner)?.replaceWith(this.welcome());
  }

  welcome() {
    const name = this.page.blind ? "the two models" : this.name || "the model";
    if (this.settings.prompt && !this.page.wantsBlind) return h("div", { class: "empty column-welcome" }, h("span", { class: "empty-icon" }, icon("scroll-text")), h("h3", {}, `Run ${name}`), h("p", {}, "Fill in its variables and run. A message of your own is put after it, and may be left out."));
    return h("div", { class: "empty column-welcome" }, h("span", { class: "empty-icon" }, icon("message-square-text")), h("h3", {}, this.page.wantsBlind ? "Two models, names hidden" : `Ask ${name}`), h("p", {}, this.page.wantsBlind ? "Both get your message, in an order that the server shuffles. Vote, and see who was who." : "Write below. The answer streams in with its first-token time, tokens and cost."));
  }

  question(turn, at) {
    const [first] = this.page.answersOf(turn, at);
    const asked = first?.shown.settings?.prompt ? askedWith(first.shown, (id) => this.page.prompts.find((each) => each.id === id)?.name || id) : null;
    const files = turn.files?.length ? h("div", { class: "question-files" }, ...turn.files.map((file) => (file.image ? h("img", { src: this.page.urls.file.replace("/0/", `/${file.id}/`), alt: file.name, loading: "lazy" }) : h("span", { class: "chip" }, icon("file-text"), file.name)))) : null;
    const siblings = this.page.siblingsOf(turn);
    const place = siblings.findIndex((each) => each.id === turn.id);
    const turnTo = (step) => {
      const shown = siblings[place + step];
      this.page.show(shown.id, true);
      const question = $(`[data-turn="${shown.id}"]`, this.inner);
      $(`[data-step="${step}"]:enabled, [data-step]:enabled`, question)?.focus();
    };
    const switcher =
      siblings.length > 1
        ? h(
            "span",
            { class: "row row-nowrap question-branches", "data-testid": "branches" },
            h("button", { type: "button", class: "btn btn-ghost btn-sm btn-icon", "aria-label": "Branch before", "data-step": -1, disabled: place === 0, onclick: () => turnTo(-1) }, icon("chevron-left")),
            h("span", { class: "num text-xs" }, `${place + 1} of ${siblings.length}`),
            h("button", { type: "button", class: "btn btn-ghost btn-sm btn-icon", "aria-label": "Next branch", "data-step": 1, disabled: place === siblings.length - 1, onclick: () => turnTo(1) }, icon("chevron-right")),
          )
        : null;
    const edit = this.page.mayRun && !this.page.blind && turn.message ? h("button", { type: "button", class: "btn btn-ghost btn-sm btn-icon", "aria-label": "Edit as a new branch", title: "Edit as a new branch", "data-testid": "edit-turn", onclick: () => this.page.edit(turn) }, icon("pencil")) : null;
    return h("div", { class: "question", "data-turn": turn.id }, asked, files, h("div", { class: "question-text" }, turn.message), h("div", { class: "question-foot" }, switcher, edit));
  }
}

/** The panel with a column's settings. What a model cannot do is not shown. */
export class SettingsPanel {
  constructor(dialog, page) {
    this.dialog = dialog;
    this.page = page;
    this.form = $("form", dialog);
    this.form.addEventListener("input", () => this.read());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.read()) dialog.close();
    });
  }

  open(column) {
    this.column = column;
    const { settings, model } = column;
    const { parameters } = settings;
    this.set("system", settings.system);
    for (const name of ["temperature", "top_p", "max_tokens", "seed", "reasoning_effort"]) this.set(name, parameters[name] ?? "");
    this.set("stop", (parameters.stop || []).join("\n"));
    this.set("tools", settings.tools.length ? JSON.stringify(settings.tools, null, 2) : "");
    this.set("schema", settings.schema ? JSON.stringify(settings.schema, null, 2) : "");
    this.field("max_tokens").max = model?.most || 1000000;
    this.field("max_tokens").placeholder = model?.most ? `at most ${model.most.toLocaleString("en")}` : "the model's own";
    this.show("system", !settings.prompt);
    this.show("reasoning_effort", column.can("reasoning"));
    this.show("tools", column.can("tools"));
    this.show("schema", column.can("json_schema"));
    $("[data-model-name]", this.dialog).textContent = column.name;
    this.dialog.showModal();
  }

  field(name) {
    return this.form.elements[name];
  }

  set(name, value) {
    this.field(name).value = value;
    this.complain(name, "");
  }

  show(name, on) {
    this.field(name).closest("[data-setting]").hidden = !on;
  }

  complain(name, text) {
    const field = this.field(name);
    field.setCustomValidity(text);
    field.setAttribute("aria-invalid", Boolean(text));
    const place = $(`[data-error="${name}"]`, this.form);
    if (place) place.textContent = text;
  }

  number(name, whole) {
    const field = this.field(name);
    if (field.value === "") return null;
    const value = Number(field.value);
    const wrong = !Number.isFinite(value) || (whole && !Number.isInteger(value)) || (field.min !== "" && value < Number(field.min)) || (field.max !== "" && value > Number(field.max));
    this.complain(name, wrong ? `From ${field.min} to ${Number(field.max).toLocaleString("en")}.` : "");
    return wrong ? undefined : value;
  }

  json(name, fits, text) {
    const { value } = this.field(name);
    if (!value.trim()) {
      this.complain(name, "");
      return null;
    }
    try {
      const parsed = JSON.parse(value);
      if (!fits(parsed)) throw new Error(text);
      this.complain(name, "");
      return parsed;
    } catch (error) {
      this.complain(name, error.message);
      return undefined;
    }
  }

  /** Takes what is right into the column; false while something is wrong. */
  read() {
    const { settings } = this.column;
    const stop = this.field("stop").value.split("\n").filter(Boolean).slice(0, 4);
    const isObject = (value) => value && typeof value === "object" && !Array.isArray(value);
    const values = {
      temperature: this.number("temperature"),
      top_p: this.number("top_p"),
      max_tokens: this.number("max_tokens", true),
      seed: this.number("seed", true),
      reasoning_effort: this.field("reasoning_effort").value || null,
      stop: stop.length ? stop : null,
    };
    const tools = this.json("tools", (value) => Array.isArray(value) && value.every((each) => isObject(each) && (each.name || each.function?.name)), "A list of tools, each with a name and its parameters.");
    const schema = this.json("schema", isObject, "A JSON schema is an object.");
    settings.system = this.field("system").value;
    for (const [name, value] of Object.entries(values)) if (value !== undefined) settings.parameters[name] = value;
    if (tools !== undefined) settings.tools = tools || [];
    if (schema !== undefined) settings.schema = schema;
    this.column.describe();
    this.page.changed();
    return this.form.checkValidity();
  }
}
