// One answer in its column: it streams, ends, is judged, and can be gone on from.
import { h, icon } from "../dom.js";
import { difference } from "./diff.js";
import { cost, dollars, milliseconds, number, tokensOf } from "./format.js";
import { Markdown } from "./markdown.js";

const ADVICE = {
  rate_limit_exceeded: ["A rate limit said no.", ""],
  budget_exceeded: ["The budget does not cover it.", "The column's settings hold the longest answer, in tokens."],
  request_over_limit: ["Larger than the limit.", "Shorten the message, or lower the longest answer in the column's settings."],
  model_not_found: ["This model may not be called here.", "Choose another, or ask a service admin for a grant."],
  tenant_inactive: ["The tenant is suspended.", "Ask the platform's service admins."],
  overloaded: ["Lobby is busy.", "Try again in a moment."],
  interrupted: ["Interrupted.", "Run it again."],
  provider_rate_limited: ["The provider is limiting requests.", "Try again in a moment, or choose another model."],
};
const SPEED_EVERY_MS = 250;

export class Answer {
  /** @param shown the server's own words of it; @param page what it may ask of the page */
  constructor(shown, page) {
    this.page = page;
    this.shown = shown;
    this.text = "";
    this.reasoning = "";
    this.started = performance.now();
    this.first = 0;
    this.live = shown.status === "running" && page.mayRun;
    this.build();
    if (!this.live) this.finish(shown);
    else this.show();
  }

  get blind() {
    return this.page.blind;
  }

  build() {
    this.body = h("div", { class: "prose answer-text", "data-testid": "answer" });
    this.markdown = new Markdown(this.body, (code, language) => this.page.colour(code, language));
    this.thoughts = h("div", { class: "answer-thoughts-text" });
    this.thinking = h("details", { class: "answer-thoughts", hidden: true }, h("summary", {}, "Reasoning"), this.thoughts);
    this.calls = h("div", { class: "answer-calls" });
    this.error = h("div", { class: "callout callout-danger", role: "alert", "data-testid": "error", hidden: true });
    this.state = h("span", { class: "answer-state" });
    this.version = h("a", { hidden: true, "data-testid": "answer-version" });
    this.firstToken = h("span", { "data-testid": "first-token" });
    this.speed = h("span", { "data-testid": "speed" });
    this.tokens = h("span", { "data-testid": "tokens" });
    this.cost = h("span", { "data-testid": "cost" });
    this.why = h("a", { hidden: true, "data-testid": "why" }, "Why");
    this.figures = h("div", { class: "answer-figures num", "data-testid": "figures" }, this.state, this.version, this.firstToken, this.speed, this.tokens, this.cost, this.why);
    this.stopButton = h("button", { type: "button", class: "btn btn-sm", "data-testid": "stop-column", onclick: () => this.page.stop([this.shown.id]) }, icon("square"), "Stop");
    this.actions = h("div", { class: "answer-actions" });
    this.judged = h("div", { class: "answer-judged" });
    this.compared = h("div", { class: "answer-diff", hidden: true, "data-testid": "difference" });
    this.element = h("article", { class: "answer", "data-answer": this.shown.id, "aria-label": this.label() }, this.thinking, this.body, this.compared, this.calls, this.error, this.figures, h("div", { class: "answer-foot" }, this.actions, this.judged));
  }

  label() {
    const name = this.blind ? `model ${"AB"[this.shown.column]}` : this.shown.model;
    return `Answer of ${name}`;
  }

  // As events come.

  take(parts) {
    for (const [kind, value] of parts) {
      if (kind === "text") this.add(value);
      else if (kind === "reasoning") this.think(value);
      else if (kind === "prompt") this.showVersion(value);
      else if (kind === "tools") this.showCalls(value, false);
      else if (kind === "end") this.finish({ ...this.shown, ...value, text: this.text, reasoning: this.reasoning });
      else if (kind === "figures") this.figuresOf(value);
    }
  }

  begun() {
    if (this.first) return;
    this.first = performance.now();
    this.show();
  }

  add(text) {
    this.begun();
    this.text += text;
    this.markdown.append(text);
    const now = performance.now();
    if (now - (this.measured || 0) > SPEED_EVERY_MS) {
      this.measured = now;
      this.showLive();
    }
  }

  think(text) {
    this.begun();
    this.reasoning += text;
    this.thinking.hidden = false;
    this.thoughts.append(text);
  }

  showLive() {
    if (this.blind) return;
    const tokens = tokensOf(this.text + this.reasoning);
    const seconds = (performance.now() - this.first) / 1000;
    if (seconds > 0.3) this.speed.textContent = `≈ ${number(Math.round(tokens / seconds))} tokens/s`;
    this.tokens.textContent = `≈ ${number(tokens)} out`;
    const price = this.page.priceOf(this.shown.model);
    if (price) this.cost.textContent = `≈ ${dollars(cost(price, this.shown.estimate || 0, tokens))}`;
  }

  /** While it runs. */
  show() {
    this.body.classList.toggle("streaming", this.live);
    this.body.setAttribute("aria-busy", this.live);
    this.state.textContent = this.live ? (this.first ? "streaming" : "waiting for the first token") : "";
    if (this.first && !this.blind) this.firstToken.textContent = `first token ${milliseconds(this.first - this.started)}`;
    const held = this.actions.contains(document.activeElement);
    this.actions.replaceChildren(...(this.live ? [this.stopButton] : this.buttons()));
    if (held) this.page.refocus(this.actions.querySelector("button") || undefined);
  }

  /** Which version of a prompt answers, as the gateway says. */
  showVersion(number) {
    this.shown.prompt_version = number;
    this.version.hidden = !number || !this.shown.prompt;
    if (this.version.hidden) return;
    this.version.textContent = `${this.shown.prompt} v${number}`;
    this.version.href = this.page.urls.version.replace("ID", this.shown.prompt).replace("/0/", `/${number}/`);
  }

  // When it has ended.

  finish(shown) {
    const endsNow = this.live;
    this.shown = shown;
    this.live = false;
    const whole = shown.text || "";
    const json = this.asJson(whole);
    // What streamed is drawn already; the server may have more of it, where this page was away at the end.
    if (whole && whole === this.text && !json) this.markdown.end();
    else this.markdown.set(json || whole);
    this.text = whole;
    this.reasoning = shown.reasoning || "";
    this.thinking.hidden = !this.reasoning;
    this.thoughts.textContent = this.reasoning;
    this.showCalls(shown.tool_calls || [], true);
    this.showError(shown);
    this.show();
    this.state.textContent = { stopped: "stopped", interrupted: "interrupted" }[shown.status] || "";
    if (shown.first_token_ms != null) this.firstToken.textContent = `first token ${milliseconds(shown.first_token_ms)}`;
    const writing = shown.duration_ms - (shown.first_token_ms || 0);
    this.speed.textContent = shown.output_tokens > 1 && writing > 50 ? `${number(Math.round((shown.output_tokens * 1000) / writing))} tokens/s` : "";
    this.tokens.textContent = shown.output_tokens != null ? `${number(shown.input_tokens)} in, ${number(shown.output_tokens)} out` : "";
    if (shown.cost_picousd != null) this.figuresOf(shown);
    else if (shown.output_tokens != null) {
      const price = this.page.priceOf(shown.model);
      if (price) this.cost.textContent = `≈ ${dollars(cost(price, shown.input_tokens, shown.output_tokens))}`;
    }
    if (this.blind) this.figures.querySelectorAll("span:not(.answer-state)").forEach((each) => (each.textContent = ""));
    this.showVersion(shown.prompt_version);
    this.why.hidden = !shown.request_id;
    if (shown.request_id) this.why.href = this.page.requestUrl(shown.request_id);
    this.element.setAttribute("aria-label", this.label());
    this.page.ended(this, endsNow);
  }

  /** An answer by a JSON schema, laid out as code; empty where it is none. */
  asJson(text) {
    if (!this.shown.settings?.schema || !/^\s*[{[]/.test(text)) return "";
    try {
      return `\`\`\`json\n${JSON.stringify(JSON.parse(text), null, 2)}\n\`\`\``;
    } catch {
      return "";
    }
  }

  figuresOf({ input_tokens, output_tokens, cost_picousd }) {
    Object.assign(this.shown, { input_tokens, output_tokens, cost_picousd });
    if (this.blind) return;
    this.tokens.textContent = `${number(input_tokens)} in, ${number(output_tokens)} out`;
    this.cost.textContent = dollars(cost_picousd);
    this.cost.title = `$${(cost_picousd / 1e12).toFixed(12).replace(/\.?0+$/, "")}, as the ledger has it`;
  }

  showError({ error: told, status }) {
    const stopped = status === "interrupted" ? { code: "interrupted", message: "The server stopped while it answered; what had arrived is kept." } : null;
    const error = told?.message ? told : stopped;
    this.error.hidden = !error;
    if (!error) return;
    const [title, advice] = ADVICE[error.code] || [status === "failed" ? "No answer." : "It broke off.", ""];
    const wait = error.retry_after && !/try again in/i.test(error.message) ? ` Try again in ${wordsOf(error.retry_after)}.` : "";
    this.error.replaceChildren(h("div", {}, h("strong", {}, title), ` ${error.message}${wait} `, advice ? h("span", { class: "text-2" }, advice) : null));
  }

  showCalls(calls, ended) {
    this.calls.replaceChildren();
    if (!calls.length) return;
    const results = this.shown.tool_results || {};
    const waiting = ended && !Object.keys(results).length && this.page.mayRun && !this.shown.follows;
    const inputs = calls.map((call) => h("textarea", { rows: 2, "aria-label": `Result of ${call.name}`, placeholder: "What the tool would answer", "data-call": call.id, "data-testid": "tool-result" }));
    calls.forEach((call, at) => {
      const known = results[call.id];
      this.calls.append(
        h(
          "div",
          { class: "answer-call" },
          h("div", { class: "row row-nowrap" }, icon("wrench"), h("span", { class: "mono strong" }, call.name), h("span", { class: "text-3 text-sm" }, "was called")),
          h("pre", { tabindex: 0 }, h("code", {}, pretty(call.arguments))),
          known !== undefined ? h("pre", { class: "text-2" }, h("code", {}, known)) : waiting ? inputs[at] : null,
        ),
      );
    });
    if (!waiting) return;
    const go = h("button", { type: "button", class: "btn btn-primary btn-sm", "data-testid": "continue" }, icon("play"), "Continue with these results");
    go.addEventListener("click", () => {
      const given = Object.fromEntries(inputs.map((input) => [input.dataset.call, input.value]));
      this.shown = { ...this.shown, tool_results: given };
      this.showCalls(calls, true);
      this.page.continue(this.shown.id, given);
      this.page.refocus();
    });
    this.calls.append(go);
  }

  buttons() {
    const buttons = this.text ? [this.button("copy", "Copy the answer", () => this.page.copy(this.text))] : [];
    if (this.page.blind) return buttons;
    if (this.page.mayRun) buttons.push(this.button("rotate-ccw", "Ask again as a new branch", () => this.page.again(this.page.turns.get(this.shown.turn)), { "data-testid": "again" }));
    if (this.text && this.page.mayRun) {
      buttons.push(
        this.button("star", "Share as an example", () => this.page.openForm("example", this), { "data-testid": "share-example", "data-act": "example" }),
        this.button("inbox", "Send to the golden-dataset inbox", () => this.page.offer(this), { "data-testid": "to-inbox", "data-act": "inbox" }),
        this.button("scroll-text", "Save as a prompt", () => this.page.openForm("prompt", this), { "data-testid": "save-prompt", "data-act": "prompt" }),
        this.button("git-branch", "Branch from here", () => this.page.branchFrom(this.shown.turn), { "data-testid": "branch" }),
      );
    }
    return buttons;
  }

  button(name, label, act, extra = {}) {
    return h("button", { type: "button", class: "btn btn-ghost btn-sm btn-icon", "aria-label": label, title: label, onclick: act, ...extra }, icon(name));
  }

  /** The server's own fragment: thumbs, and for a bad answer why. Asked for once the answer comes into view. */
  invite() {
    if (this.judged.childElementCount || this.blind || !this.text || this.live) return;
    const place = h("div", { "hx-get": this.page.urls.feedback.replace("/0/", `/${this.shown.id}/`), "hx-trigger": "intersect once", "hx-swap": "outerHTML", "data-quiet": true });
    this.judged.append(place);
    window.htmx?.process(place);
    this.judged.addEventListener("htmx:afterSettle", () => this.judged.querySelector("form")?.scrollIntoView({ block: "nearest" }));
  }

  /** Words that A did not say, and those that it did; null puts the answer back. */
  differFrom(text) {
    const off = text == null || this.live || !this.text;
    this.compared.hidden = off;
    this.body.hidden = !off;
    if (off) return;
    this.compared.replaceChildren(...difference(text, this.text).map(({ kind, text: part }) => (kind === "same" ? document.createTextNode(part) : h(kind === "new" ? "ins" : "del", {}, part))));
  }
}

/** Seconds, as one says them. */
function wordsOf(seconds) {
  const steps = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const [unit, size] = steps.find(([, each]) => seconds >= 2 * each) || ["second", 1];
  const count = Math.ceil(seconds / size);
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
