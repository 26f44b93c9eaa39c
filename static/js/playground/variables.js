// The variables of a catalog prompt as a typed form: a field by each variable's JSON schema.
import { h } from "../dom.js";

let made = 0;

const typeOf = (schema) => {
  const types = [schema.type].flat().filter((type) => type && type !== "null");
  return types[0] || (typeof schema.enum?.[0] === "number" ? "number" : "string");
};
const written = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** One variable's field. ``read`` gives its value; undefined where it is left to the default. */
class Field {
  constructor({ name, schema, required }, value, changed) {
    this.name = name;
    this.schema = schema;
    this.required = required;
    this.type = typeOf(schema);
    const id = `variable-${(made += 1)}`;
    this.control = this.make(id);
    this.control.addEventListener("input", () => {
      this.complain("");
      changed();
    });
    this.error = h("p", { class: "field-help text-danger", id: `${id}-error`, "data-testid": `problem-${name}` });
    const kind = schema.enum ? "choice" : this.type;
    const label = h("label", { class: "field-label", for: id }, h("span", { class: "mono" }, name), " ", h("span", { class: "field-optional" }, required || kind === "boolean" ? kind : `${kind}, optional`));
    const parts = kind === "boolean" ? [h("div", { class: "check" }, this.control, label)] : [label, this.control];
    if (schema.description) parts.push(h("p", { class: "field-help" }, schema.description));
    const examples = (schema.examples || []).filter((each) => written(each).length <= 60);
    if (examples.length > 1 && kind !== "choice") parts.push(h("div", { class: "variable-examples" }, ...examples.slice(0, 4).map((each) => this.example(each, changed))));
    this.element = h("div", { class: "field variable" }, ...parts, this.error);
    if (value !== undefined) this.write(value);
  }

  make(id) {
    const { schema, type } = this;
    const shared = { id, "data-testid": `variable-${this.name}`, "aria-describedby": `${id}-error`, "aria-required": this.required };
    const hint = schema.default !== undefined ? written(schema.default).slice(0, 120) : "";
    if (schema.enum) {
      const first = this.required ? "Choose" : schema.default !== undefined ? `${written(schema.default)} (default)` : "Left out";
      return h("select", shared, h("option", { value: "" }, first), ...schema.enum.map((each, at) => h("option", { value: at }, written(each))));
    }
    if (type === "boolean") return h("input", { ...shared, type: "checkbox", checked: schema.default === true });
    if (type === "integer" || type === "number") {
      return h("input", { ...shared, type: "number", min: schema.minimum, max: schema.maximum, step: type === "integer" ? 1 : "any", placeholder: hint });
    }
    if (type === "string") return h("textarea", { ...shared, rows: 1, placeholder: hint });
    return h("textarea", { ...shared, rows: 3, class: "mono", spellcheck: "false", placeholder: hint || (type === "array" ? "[]" : "{}") });
  }

  example(value, changed) {
    const fill = () => {
      this.write(value);
      this.complain("");
      changed();
    };
    return h("button", { type: "button", class: "chip", title: `Fill in ${this.name}`, onclick: fill }, written(value));
  }

  write(value) {
    if (this.schema.enum) {
      const at = this.schema.enum.findIndex((each) => JSON.stringify(each) === JSON.stringify(value));
      this.control.value = at < 0 ? "" : at;
    } else if (this.type === "boolean") this.control.checked = value === true;
    else this.control.value = written(value);
  }

  read() {
    const { control, schema, type } = this;
    if (type === "boolean" && !schema.enum) return control.checked;
    if (control.validity?.badInput) return this.wrong("is no number");
    const text = control.value;
    if (!text.trim()) return this.required ? this.wrong("is missing") : undefined;
    if (schema.enum) return schema.enum[Number(text)];
    if (type === "string") return text;
    if (type === "integer" || type === "number") return Number(text);
    try {
      return JSON.parse(text);
    } catch (error) {
      return this.wrong(`is no JSON: ${error.message}`);
    }
  }

  wrong(problem) {
    this.problem = problem;
    return undefined;
  }

  complain(problem) {
    this.error.textContent = problem ? `It ${problem}.` : "";
    this.control.setAttribute("aria-invalid", Boolean(problem));
  }
}

export class VariableForm {
  /** @param changed called whenever a value is another */
  constructor(element, changed) {
    this.element = element;
    this.changed = changed;
    this.fields = [];
  }

  show(variables, values) {
    this.fields = variables.map((variable) => new Field(variable, values[variable.name], this.changed));
    this.element.replaceChildren(...this.fields.map((field) => field.element));
  }

  /** {values, problems}: what can be read, and by name what cannot. */
  read() {
    const values = {};
    const problems = {};
    for (const field of this.fields) {
      field.problem = "";
      const value = field.read();
      if (field.problem) problems[field.name] = field.problem;
      else if (value !== undefined) values[field.name] = value;
    }
    return { values, problems };
  }

  /** At each field what is wrong with it; the reader is led to the first. What has no field is returned. */
  complain(problems) {
    const known = new Set(this.fields.map((field) => field.name));
    for (const field of this.fields) field.complain(problems[field.name] || "");
    this.fields.find((field) => problems[field.name])?.control.focus();
    return Object.keys(problems).filter((name) => !known.has(name));
  }
}
