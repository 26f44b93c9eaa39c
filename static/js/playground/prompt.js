// A column's prompt of the catalog: which version, on which model, with which variables.
import { h, icon } from "../dom.js";
import { tokensOf } from "./format.js";
import { VariableForm } from "./variables.js";

const MOST_VERSIONS = 50;

/** What a prompt's label or version is chosen by: ``label:live``, ``version:3``. */
const keyOf = ({ label, version }) => (version ? `version:${version}` : `label:${label || "live"}`);

export class ColumnPrompt {
  constructor(column) {
    this.column = column;
    this.page = column.page;
    this.loaded = null;
    this.asked = 0;
    this.versions = h("select", { "aria-label": "Version of the prompt", "data-testid": "prompt-version" });
    this.versions.addEventListener("change", () => this.turnTo(this.versions.value));
    this.models = h("select", { "aria-label": "Model of the prompt", "data-testid": "prompt-model" });
    this.models.addEventListener("change", () => {
      column.settings.model = this.models.value;
      column.describe();
      this.page.changed();
    });
    this.state = h("div", { class: "column-prompt-state text-sm", role: "status", hidden: true });
    this.fields = h("div", { class: "variables-fields" });
    this.form = new VariableForm(this.fields, () => this.taken());
    this.count = h("span", { class: "badge badge-muted" });
    this.variables = h("details", { class: "column-variables", "data-testid": "variables", open: true }, h("summary", {}, "Variables ", this.count), this.fields);
    this.said = h("div", { class: "prompt-said" });
    this.text = h("details", { class: "column-variables", "data-testid": "prompt-text" }, h("summary", {}, "What it says"), this.said);
    this.element = h("div", { class: "column-prompt", hidden: true }, h("div", { class: "column-prompt-head" }, h("div", {}, icon("scroll-text"), this.versions), h("div", {}, h("span", { class: "text-3 text-xs" }, "on"), this.models)), this.state, this.variables, this.text);
  }

  get choice() {
    return this.column.settings.prompt;
  }

  get offered() {
    return this.page.prompts.find((each) => each.id === this.choice?.id);
  }

  get name() {
    return this.loaded?.name || this.offered?.name || this.choice?.id || "";
  }

  /** Begin with a prompt: at its label "live", else another, else its newest version. */
  choose(id) {
    const labels = this.page.prompts.find((each) => each.id === id)?.labels || [];
    const label = labels.find((each) => each.name === "live") || labels[0];
    const newest = this.page.prompts.find((each) => each.id === id)?.newest;
    this.column.settings.model = "";
    this.column.settings.prompt = { id, variables: {}, ...(label ? { label: label.name } : { version: newest || 1 }) };
    this.load(true);
  }

  turnTo(key) {
    const [kind, value] = key.split(":");
    const { id, variables } = this.choice;
    this.column.settings.prompt = { id, variables, [kind]: kind === "version" ? Number(value) : value };
    this.load(true);
  }

  /** From the server; ``fresh``: the fields begin with the prompt's examples and defaults. */
  async load(fresh = false) {
    const { choice } = this;
    this.loaded = null;
    this.element.hidden = !choice || this.page.blind;
    const asked = (this.asked += 1);
    if (!choice || this.page.blind) return;
    this.showVersions();
    this.showModels();
    this.tell("Loading the prompt…");
    const query = new URLSearchParams({ project: this.page.project, ...(choice.version ? { version: choice.version } : { label: choice.label || "live" }) });
    const response = await fetch(`${this.page.urls.prompt.replace("ID", encodeURIComponent(choice.id))}?${query}`).catch(() => null);
    const content = response && (await response.json().catch(() => null));
    if (asked !== this.asked) return; // another one was chosen meanwhile
    if (!response?.ok || !content?.prompt) {
      this.tell(content?.error?.message || "The prompt could not be loaded. Choose it again.", true);
      this.page.changed();
      return;
    }
    this.loaded = content.prompt;
    this.tell("");
    const { variables } = this.loaded;
    const values = Object.fromEntries(variables.map(({ name, begin }) => [name, name in choice.variables ? choice.variables[name] : fresh ? begin : undefined]));
    this.form.show(variables, values);
    this.count.textContent = variables.length;
    this.variables.hidden = !variables.length;
    this.said.replaceChildren(...this.loaded.messages.map(({ role, pieces }) => h("div", { class: "prompt-message" }, h("span", { class: "text-3 text-xs" }, role), h("div", { class: "pre-wrap" }, ...pieces.map(([kind, text]) => (kind ? h("mark", {}, text) : text))))));
    this.showModels();
    this.taken();
    this.column.describe();
    this.column.welcomeAgain();
  }

  tell(text, wrong = false) {
    this.state.hidden = !text;
    this.state.textContent = text;
    this.state.classList.toggle("text-danger", wrong);
    this.variables.hidden = this.text.hidden = Boolean(text);
  }

  showVersions() {
    const { offered, choice } = this;
    const labels = (offered?.labels || []).map(({ name, version, split }) => h("option", { value: `label:${name}` }, `${name} · v${version}${split ? ", split" : ""}`));
    const newest = offered?.newest || choice.version || 0;
    const numbers = Array.from({ length: Math.min(newest, MOST_VERSIONS) }, (_, at) => newest - at);
    const versions = numbers.map((number) => h("option", { value: `version:${number}` }, `v${number}${number === newest ? ", newest" : ""}`));
    const options = [...labels, ...versions];
    const key = keyOf(choice);
    if (!options.some((each) => each.value === key)) options.unshift(h("option", { value: key }, choice.version ? `v${choice.version}` : `${choice.label || "live"} (not here)`));
    this.versions.replaceChildren(...options);
    this.versions.value = key;
    this.versions.disabled = this.models.disabled = !this.page.mayRun;
  }

  showModels() {
    const own = this.loaded?.model;
    const name = this.page.models.find((model) => model.slug === own)?.name || own;
    const first = h("option", { value: "" }, this.loaded && !own ? "Choose a model" : `${name || "its own model"}${own ? " (its own)" : ""}`);
    this.models.replaceChildren(first, ...this.page.callables(this.column.settings.model));
    this.models.value = this.column.settings.model;
  }

  taken() {
    if (this.choice) this.choice.variables = this.form.read().values;
    this.page.changed();
  }

  /** Whether it can be run; what is missing is said at its field. */
  check() {
    if (!this.choice) return true;
    if (!this.loaded) return false;
    const { problems } = this.form.read();
    if (!Object.keys(problems).length) return true;
    this.complain(problems);
    return false;
  }

  complain(problems) {
    this.variables.open = true;
    return this.form.complain(problems);
  }

  /** Once it has run: the answer is what matters now. */
  fold() {
    this.variables.open = this.text.open = false;
  }

  tokens() {
    if (!this.loaded) return 0;
    const said = this.loaded.messages.flatMap(({ pieces }) => pieces.filter(([kind]) => kind !== "variable").map(([, text]) => text));
    return tokensOf(said.join("")) + tokensOf(Object.values(this.choice.variables).map((value) => (typeof value === "string" ? value : JSON.stringify(value))).join(" "));
  }
}

/** What was asked with, above a question: the prompt, its version, its values. */
export function askedWith(shown, names) {
  const { prompt } = shown.settings;
  const which = prompt.version ? `v${prompt.version}` : prompt.label || "live";
  const values = Object.entries(prompt.variables || {});
  const head = [icon("scroll-text"), h("span", { class: "strong" }, names(prompt.id)), h("span", { class: "text-3" }, which)];
  if (!values.length) return h("div", { class: "question-prompt" }, h("div", { class: "question-prompt-head" }, ...head));
  const list = h("dl", {}, ...values.flatMap(([name, value]) => [h("dt", { class: "mono" }, name), h("dd", {}, typeof value === "string" ? value : JSON.stringify(value))]));
  return h("details", { class: "question-prompt", open: values.length < 7 }, h("summary", { class: "question-prompt-head" }, ...head), list);
}
