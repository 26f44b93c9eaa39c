// The playground: columns that ask models side by side, over one connection, in a conversation that is a tree.
import { $, $$, h, icon, on, readJson } from "../dom.js";
import { toast } from "../toasts.js";
import { Answer } from "./answer.js";
import { Column, SettingsPanel } from "./column.js";
import { Composer } from "./composer.js";
import { cost, dollars, number, tokensOf } from "./format.js";
import { Connection } from "./socket.js";

const MOST_COLUMNS = 4;
const IMAGE_TOKENS = 1000;
const ASSUMED_OUTPUT = 16384;
const COLOUR_AFTER_MS = 60;
const ENDINGS = { stopped: "was stopped", interrupted: "was interrupted" };
// What can be made of an answer: its key, and its address.
const ACTS = {
  example: { key: "e", url: "example-share", label: "Share as an example" },
  inbox: { key: "i", url: "inbox-offer", label: "Send the answer to the golden-dataset inbox" },
  prompt: { key: "p", url: "prompt-save", label: "Save as a prompt" },
};

const token = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];

const send = (url, fields) => fetch(url, { method: "POST", body: new URLSearchParams(fields), headers: { "X-CSRFToken": token(), "HX-Request": "true" } }).catch(() => null);

const post = async (url, fields = {}) => contentOf(await send(url, fields));
const get = async (url) => contentOf(await fetch(url, { headers: { "HX-Request": "true" } }).catch(() => null));

/** What the server answered; null, and a word of it to the reader, where it did not do it. */
async function contentOf(response) {
  if (!response) {
    toast({ level: "error", message: "No connection to the portal. Check the network and try again." });
    return null;
  }
  const type = response.headers.get("content-type") || "";
  const content = type.includes("json") ? await response.json() : await response.text();
  if (response.ok) return content;
  toast({ level: "error", message: content?.error?.message || `The server could not do that (${response.status}). Nothing was changed.` });
  return null;
}

class Page {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.urls = data.urls;
    this.models = data.models;
    this.routes = data.routes;
    this.prompts = data.prompts;
    this.mayRun = data.may_call;
    this.asked = null; // the composer, while what it holds is on its way
    this.columns = [];
    this.turns = new Map();
    this.answers = new Map();
    this.leaf = 0;
    this.parent = null; // of the next turn; null: the leaf
    this.sending = false;
    this.synced = false;
    this.differs = false;
    this.wantsBlind = false;
    this.blind = false;
    this.uncoloured = [];
    this.place = $("#play-columns");
    // On a phone a column fills the screen: which one?
    this.inView = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) this.columns.find((column) => column.element === target)?.isInView(isIntersecting);
      },
      { root: this.place, threshold: 0.6 },
    );
    this.settings = new SettingsPanel($("#play-settings"), this);
    if (this.mayRun) this.composer = new Composer(root, this);
    if (this.mayRun) {
      this.connection = new Connection({
        url: `${location.origin.replace(/^http/, "ws")}${this.urls.socket}?tenant=${encodeURIComponent(data.tenant)}`,
        onMessage: (message) => this.take(message),
        onState: (state, text) => this.connectionIs(state, text),
      });
    }
    this.load(data.conversation);
    this.wire();
    this.changed();
    this.composer?.text.focus({ preventScroll: true });
  }

  // The conversation.

  load(conversation) {
    this.conversation = conversation;
    this.blind = Boolean(conversation?.blind);
    this.turns.clear();
    this.answers.clear();
    for (const turn of conversation?.turns || []) this.turns.set(turn.id, turn);
    const wanted = this.data.wanted.length ? this.data.wanted : [{}];
    const settings = conversation?.columns.length ? conversation.columns : wanted;
    this.columns = settings.map((each) => new Column(each, this));
    this.place.replaceChildren(...this.columns.map((column) => column.element));
    for (const turn of this.turns.values()) {
      for (const shown of turn.answers) {
        shown.follows = turn.answers.some((each) => each.column === shown.column && each.step > shown.step);
        this.answers.set(shown.id, new Answer(shown, this));
        if (shown.status === "running" && this.mayRun) this.connection.join(shown.id);
      }
    }
    const last = [...this.turns.keys()].at(-1) || 0;
    this.title(conversation?.title);
    this.show(last);
    if (last) for (const column of this.columns) column.prompt.fold();
    this.busy();
    if (conversation?.use_case && $("#play-use-case")) $("#play-use-case").value = conversation.use_case;
  }

  title(text) {
    $("#play-title").textContent = text || "New conversation";
    document.title = `${text || "Playground"} · Lobby`;
    for (const node of $$("[data-with-conversation]")) node.hidden = !this.conversation;
    const shared = $("#play-shared");
    if (shared) shared.hidden = !this.conversation?.shared;
  }

  path() {
    const path = [];
    for (let turn = this.turns.get(this.leaf); turn; turn = this.turns.get(turn.parent)) path.unshift(turn);
    return path;
  }

  siblingsOf(turn) {
    return [...this.turns.values()].filter((each) => each.parent === turn.parent);
  }

  answersOf(turn, column) {
    const found = turn.answers.filter((each) => each.column === column).map((each) => this.answers.get(each.id));
    return found.filter(Boolean).sort((a, b) => a.shown.step - b.shown.step);
  }

  /** Show the branch that ends in a turn; with ``descend``, in the newest that follows from it. */
  show(id, descend = false) {
    this.leaf = id;
    while (descend) {
      const children = [...this.turns.values()].filter((turn) => turn.parent === this.leaf);
      if (!children.length) break;
      this.leaf = children.at(-1).id;
    }
    this.setParent(null);
    this.render();
  }

  render() {
    const path = this.path();
    this.place.dataset.columns = this.columns.length;
    this.columns.forEach((column, at) => {
      column.describe();
      column.render(path, at);
      column.toEnd();
    });
    // Once more when it is laid out: what is out of sight is only then as high as it is.
    this.follow();
    for (const turn of path) for (const each of turn.answers) this.answers.get(each.id)?.invite();
    if (this.mayRun) $("#play-add").hidden = this.blind || this.columns.length >= MOST_COLUMNS || this.wantsBlind;
    for (const node of $$("[data-with-columns]")) node.hidden = this.columns.length < 2;
    $("#play-jump").replaceChildren(...this.columns.map((column) => column.jump));
    for (const column of this.columns) this.inView.observe(column.element);
    this.showVote();
    this.showDifference();
    this.markNewest();
  }

  // Columns.

  addColumn() {
    if (this.columns.length >= MOST_COLUMNS || this.blind) return;
    const used = new Set(this.columns.map((column) => column.settings.model));
    const next = this.models.find((model) => !used.has(model.slug)) || this.models[0];
    const column = new Column({ model: next?.slug || "", system: this.columns[0]?.settings.system || "" }, this);
    this.columns.push(column);
    this.place.append(column.element);
    this.render();
    this.changed();
    column.select.focus();
  }

  removeColumn(column) {
    this.columns = this.columns.filter((each) => each !== column);
    column.element.remove();
    this.render();
    this.changed();
    this.refocus($("#play-add"));
  }

  placeOf(column) {
    return this.columns.length > 1 ? `Column ${"ABCD"[this.columns.indexOf(column)]}` : "Before it runs";
  }

  openSettings(column) {
    this.settings.open(column);
  }

  get project() {
    return $("#play-project")?.value || "";
  }

  /** Options: the models and routes that may be called, with ``chosen`` among them in any case. */
  callables(chosen) {
    const { models, routes } = this;
    const options = models.map((model) => h("option", { value: model.slug }, model.name + (model.simulated && !model.name.includes("simulated") ? " (simulated)" : "")));
    if (chosen && ![...models, ...routes].some((each) => each.slug === chosen)) options.unshift(h("option", { value: chosen }, `${chosen} (not callable here)`));
    if (!routes.length && !this.prompts.length) return options;
    const made = [h("optgroup", { label: "Models" }, ...options)];
    if (routes.length) made.push(h("optgroup", { label: "Routes" }, ...routes.map((route) => h("option", { value: route.slug }, route.name))));
    return made;
  }

  priceOf(slug) {
    return this.models.find((model) => model.slug === slug)?.price;
  }

  /** What a call may be charged by: a route sends to one of several models. */
  pricesOf(slug) {
    const price = this.priceOf(slug);
    return price ? [price] : this.routes.find((route) => route.slug === slug)?.prices || [];
  }

  requestUrl(id) {
    return this.urls.request.replace("ID", id);
  }

  // Asking.

  get running() {
    return [...this.answers.values()].filter((answer) => answer.live);
  }

  run() {
    if (!this.mayRun || this.sending || this.running.length) return;
    // Prompts may say it all: then a conversation begins, or a branch from its beginning.
    const alone = this.composer.empty && !this.blind && this.columns.every((column) => column.settings.prompt);
    if (this.composer.empty && !alone) {
      this.composer.text.focus();
      return;
    }
    const unready = this.blind ? undefined : this.columns.find((column) => !column.prompt.check());
    if (unready) {
      this.alert(unready.prompt.loaded ? `${this.placeOf(unready)}: fill in the variables of ${unready.prompt.name}.` : `${this.placeOf(unready)}: the prompt is not there yet.`);
      return;
    }
    const chosen = alone ? { turn: null } : this.parent ?? { turn: this.leaf || null };
    this.asked = this.composer;
    this.ask({ message: this.composer.message, attachments: this.composer.attachments(), kept: this.composer.kept(), parent: chosen.turn });
  }

  /** The same again, on what the columns are set to now, as a branch in its place. */
  again(turn) {
    if (this.sending || this.running.length) {
      this.alert("Wait until every column has answered, or stop them.");
      return;
    }
    this.asked = null;
    this.ask({ message: turn.message, attachments: [], kept: (turn.files || []).map((file) => file.id), parent: turn.parent });
  }

  ask(asked) {
    this.alert("");
    this.sending = true;
    this.connection.run({
      ...asked,
      project: $("#play-project").value,
      columns: this.blind ? this.columns.map(() => ({ model: "hidden" })) : this.columns.map((column) => column.value()),
      conversation: this.conversation?.id || "",
      blind: this.wantsBlind && !this.conversation,
      use_case: $("#play-use-case").value,
    });
    this.busy();
  }

  continue(answer, results) {
    this.connection.send({ type: "continue", answer, results });
  }

  stop(answers = this.running.map((answer) => answer.shown.id)) {
    if (answers.length) this.connection.send({ type: "stop", answers });
  }

  busy() {
    if (!this.mayRun) return;
    const running = this.running.length > 0;
    const [run, stop] = [$("#play-run"), $("#play-stop")];
    // Run and Stop stand in one place: whoever has pressed the one finds the focus on the other.
    if ([run, stop].includes(document.activeElement)) this.holdsFoot = true;
    else if (document.activeElement !== document.body) this.holdsFoot = false;
    run.disabled = this.sending || running;
    stop.hidden = !running;
    run.hidden = running;
    if (this.holdsFoot && (running || !run.disabled)) (running ? stop : run).focus({ preventScroll: true });
    for (const control of $$("[data-not-while-running]")) control.disabled = running;
  }

  // What the server says.

  take(message) {
    switch (message.type) {
      case "begun":
        this.begun(message);
        break;
      case "events":
        this.follow(); // whoever reads the end before it grows goes on reading it
        this.answers.get(message.answer)?.take(message.parts);
        break;
      case "answer": {
        this.follow();
        const answer = this.answers.get(message.answer.id);
        answer?.finish({ ...answer.shown, ...message.answer });
        break;
      }
      case "error":
        if (message.code === "signed_out" || message.code === "no_access") break; // the socket closes, and that is told
        this.sending = false;
        this.asked = null;
        this.alert(message.message);
        this.busy();
        if (Object.keys(message.problems || {}).length) this.columns[message.column]?.prompt.complain(message.problems);
        break;
    }
  }

  begun({ conversation, turn, answers }) {
    this.sending = false;
    const isNew = !this.conversation;
    if (isNew) {
      this.conversation = { ...conversation, shared: false, columns: [], turns: [] };
      history.replaceState(null, "", `${this.urls.index}?conversation=${conversation.id}`);
    }
    if (conversation.blind && !this.blind) {
      this.blind = true;
      this.wantsBlind = false;
      $("#play-blind").checked = false;
    }
    const known = this.turns.get(turn.id);
    const kept = known || { ...turn, answers: [], winner: "" };
    this.turns.set(turn.id, kept);
    for (const shown of answers) {
      for (const each of kept.answers) if (each.column === shown.column) each.follows = true;
      if (!kept.answers.some((each) => each.id === shown.id)) kept.answers.push(shown);
      if (!this.answers.has(shown.id)) this.answers.set(shown.id, new Answer({ ...shown, estimate: this.inputTokens(shown.column) }, this));
    }
    if (!known && this.asked) this.asked.clear();
    this.asked = null;
    for (const column of this.columns) column.prompt.fold();
    this.title(conversation.title);
    this.show(turn.id);
    this.say(answers.length > 1 ? `${answers.length} models are answering` : "The model is answering");
    this.busy();
    this.changed();
    this.refreshList();
  }

  /** ``now``: while the reader looks on, not as part of what there was. */
  ended(answer, now) {
    queueMicrotask(() => {
      this.busy();
      this.changed();
      this.showVote();
      this.showDifference();
      this.markNewest();
      if (answer.element.isConnected) answer.invite();
      if (now && answer.shown.status !== "running") {
        const who = this.blind ? `Column ${"AB"[answer.shown.column]}` : answer.shown.model;
        this.say(answer.shown.error?.message ? `${who}: ${answer.shown.error.message}` : `${who} ${ENDINGS[answer.shown.status] || "has answered"}`);
        clearTimeout(this.budgetTimer);
        this.budgetTimer = setTimeout(() => this.refreshBudget(), 1500);
      }
    });
  }

  connectionIs(state, text) {
    const note = $("#play-connection");
    const texts = {
      open: "", // Nothing that could be heard, either: the note is a live region.
      "signed-out": "You are signed out. ",
      lost: "The connection broke. Answers go on at the server; this page joins them again as soon as it can.",
      "no-access": "You may not call models here any more. A tenant admin can change that.",
    };
    const signIn = state === "signed-out" ? h("a", { href: `${this.urls.login}?next=${encodeURIComponent(location.pathname + location.search)}` }, "Sign in again") : null;
    note.hidden = state === "open";
    note.replaceChildren(h("div", {}, h("strong", {}, state === "lost" ? "Reconnecting. " : ""), text || texts[state], signIn));
    document.documentElement.dataset.socket = state;
  }

  // Following along.

  follow() {
    if (this.following) return;
    // Two frames on: the text is drawn in the next one.
    this.following = requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        this.following = 0;
        for (const column of this.columns) if (column.follows) column.toEnd();
      }),
    );
  }

  scrolled(column) {
    if (!this.synced || this.scrolling === column) {
      this.scrolling = null;
      return;
    }
    const room = column.scroll.scrollHeight - column.scroll.clientHeight;
    const share = room > 0 ? column.scroll.scrollTop / room : 0;
    for (const other of this.columns) {
      if (other === column) continue;
      const top = Math.round(share * (other.scroll.scrollHeight - other.scroll.clientHeight));
      if (Math.abs(other.scroll.scrollTop - top) < 2) continue;
      this.scrolling = other;
      other.scroll.scrollTop = top;
    }
  }

  showDifference() {
    const last = this.path().at(-1);
    const first = last && this.answersOf(last, 0).at(-1);
    for (const answer of this.answers.values()) {
      const compare = this.differs && last && answer.shown.turn === last.id && answer.shown.column > 0 && first && !first.live;
      answer.differFrom(compare ? first.text : null);
    }
  }

  // Estimate and budget.

  inputTokens(at) {
    const column = this.columns[at] || this.columns[0];
    if (!column) return 0;
    let tokens = (column.settings.prompt ? column.prompt.tokens() : tokensOf(column.settings.system)) + tokensOf(this.composer?.message || "");
    for (const turn of this.path()) {
      tokens += tokensOf(turn.message);
      for (const answer of this.answersOf(turn, at)) tokens += tokensOf(answer.text);
    }
    for (const file of this.composer?.files || []) tokens += file.isImage ? IMAGE_TOKENS : tokensOf(file.data);
    if (column.settings.tools.length) tokens += tokensOf(JSON.stringify(column.settings.tools));
    return tokens + 4;
  }

  changed() {
    if (!this.mayRun || !this.composer) return;
    const alone = !this.blind && this.columns.length && this.columns.every((column) => column.settings.prompt);
    this.composer.text.placeholder = alone ? "A message of your own, if you like" : "Write a message";
    const place = $("#play-estimate");
    if (this.blind || this.wantsBlind || !this.columns.length) {
      place.textContent = "";
      return;
    }
    let tokens = 0;
    let least = 0;
    let most = 0;
    let priced = true;
    this.columns.forEach((column, at) => {
      const input = this.inputTokens(at);
      const prices = this.pricesOf(column.called);
      const longest = column.settings.parameters.max_tokens || column.model?.most || ASSUMED_OUTPUT;
      tokens += input;
      priced &&= prices.length > 0;
      least += Math.min(...prices.map((price) => cost(price, input, 0)));
      most += Math.max(...prices.map((price) => cost(price, input, longest)));
    });
    place.textContent = priced ? `≈ ${number(tokens)} tokens in, ${dollars(least)}; with the longest answer ${dollars(most)}` : `≈ ${number(tokens)} tokens in; no price is known`;
    const blindable = this.columns.some((column) => this.composer.hasImages && !column.can("vision"));
    place.classList.toggle("text-warn", blindable);
    if (blindable) place.textContent = "A chosen model takes no images.";
  }

  async refreshBudget() {
    const response = await fetch(`${this.urls.budget}?project=${encodeURIComponent($("#play-project")?.value || "")}`).catch(() => null);
    if (response?.ok) $("#play-budget").innerHTML = await response.text();
  }

  refreshList() {
    const url = `${this.urls.list}?q=${encodeURIComponent($("#play-search")?.value || "")}&open=${this.conversation?.id || ""}`;
    window.htmx?.ajax("GET", url, { target: "#conversation-list", swap: "innerHTML" });
  }

  // Judging.

  showVote() {
    const bar = $("#play-vote");
    const last = this.path().at(-1);
    this.showVoted(last);
    if (!bar) return;
    const both = last && [0, 1].map((at) => this.answersOf(last, at).at(-1));
    bar.hidden = !(this.blind && this.mayRun && both?.every((answer) => answer && !answer.live && answer.text));
  }

  async vote(winner) {
    const last = this.path().at(-1);
    if (!last) return;
    if ((await post(this.urls.vote.replace("/0/", `/${last.id}/`), { winner })) === null) return;
    const response = await fetch(this.idUrl("data")).catch(() => null);
    if (!response?.ok) return;
    this.load((await response.json()).conversation);
    this.say($("#play-voted").textContent);
    this.refocus();
  }

  /** What a vote revealed, for as long as its turn is the last one shown. */
  showVoted(last) {
    const place = $("#play-voted");
    if (!place) return;
    place.hidden = this.blind || !last?.winner || this.columns.length < 2;
    if (place.hidden) return;
    const [a, b] = [0, 1].map((at) => {
      const shown = this.answersOf(last, at).at(-1)?.shown;
      const name = this.models.find((model) => model.slug === shown?.model)?.name || shown?.model || "";
      return shown?.prompt ? `${shown.prompt}${shown.prompt_version ? ` v${shown.prompt_version}` : ""} on ${name}` : name;
    });
    const verdicts = { a: "You preferred A.", b: "You preferred B.", tie: "You called it a tie.", both_bad: "You called both bad." };
    place.replaceChildren(icon("eye"), h("span", {}, h("strong", {}, `A was ${a}, B was ${b}.`), ` ${verdicts[last.winner]} Your vote counts in `, h("a", { href: this.urls.recommendations }, "What works here"), "."));
  }

  /** Where what had the focus is gone: to what there is to read, so that the next Tab goes on from there. */
  refocus(element = this.columns[0]?.scroll) {
    const at = document.activeElement;
    if (!at || at === document.body || !at.isConnected || at.closest("[hidden]")) element?.focus({ preventScroll: true });
  }

  /** The keys for what can be made of an answer belong to the newest. */
  markNewest() {
    for (const button of $$("[data-act]", this.root)) {
      delete button.dataset.key;
      delete button.dataset.palette;
    }
    for (const [act, { key, label }] of Object.entries(ACTS)) {
      const button = $$(`[data-act="${act}"]`, this.columns[0]?.element || this.root).at(-1);
      if (button) Object.assign(button.dataset, { key, palette: label });
    }
  }

  /** The server's own form for one of ``ACTS``, in the one dialog that they share. */
  async openForm(act, answer) {
    const { url, label } = ACTS[act];
    $("#play-act-title").textContent = label;
    await window.htmx.ajax("GET", this.urls[url].replace("/0/", `/${answer.shown.id}/`), { target: "#play-act-body", swap: "innerHTML" });
    $("#play-act").showModal();
  }

  /** At once: what the reader said of the answer goes with it. */
  async offer(answer) {
    const told = await post(this.urls[ACTS.inbox.url].replace("/0/", `/${answer.shown.id}/`));
    if (told) toast({ level: "success", message: told.message });
  }

  // Branching.

  branchFrom(turn) {
    this.setParent({ turn, text: this.turns.get(turn)?.message || this.conversation.title });
    this.composer.text.focus();
  }

  edit(turn) {
    this.setParent({ turn: turn.parent, text: turn.message, edits: true });
    this.composer.text.value = turn.message;
    this.composer.keep(turn.files || []);
    this.composer.text.focus();
    this.changed();
  }

  setParent(parent) {
    this.parent = parent;
    const note = $("#play-branching");
    if (!note) return;
    note.hidden = !parent;
    if (parent) $("span", note).textContent = parent.edits ? `A new branch in the place of “${short(parent.text)}”` : `A new branch after “${short(parent.text)}”`;
  }

  // Code, colours, copying.

  async viewCode(column) {
    const at = this.columns.indexOf(column);
    const last = this.path().at(-1);
    const answer = last && this.answersOf(last, at).at(-1);
    const begins = !last && !column.settings.prompt;
    // What is written goes after what was said; with nothing written, it is the call that gave the newest answer.
    const made =
      answer && (!this.composer || this.composer.empty)
        ? await get(this.urls.code.replace("/0/", `/${answer.shown.id}/`))
        : await post(this.urls["draft-code"], {
            request: JSON.stringify({
              column: { ...column.value(), model: column.called },
              message: this.composer?.message || (begins ? "Hello" : ""),
              attachments: this.composer?.attachments() || [],
              conversation: this.conversation?.id || "",
              turn: last?.id ?? null,
              at,
            }),
          });
    if (made === null) return;
    $("#play-code-body").innerHTML = made;
    window.htmx?.process($("#play-code-body"));
    $("#play-code-dialog").showModal();
  }

  colour(code, language) {
    if (!language) return;
    this.uncoloured.push({ code, language });
    clearTimeout(this.colouring);
    this.colouring = setTimeout(() => this.colourAll(), COLOUR_AFTER_MS);
  }

  /** The server's colours: spans with classes alone, of the very text that is there. */
  async colourAll() {
    const batch = this.uncoloured.splice(0, 20).filter(({ code }) => code.isConnected || code.parentElement);
    if (!batch.length) return;
    const response = await send(this.urls.highlight, { blocks: JSON.stringify(batch.map(({ code, language }) => [language, code.textContent])) });
    if (response?.ok) {
      const { html } = await response.json();
      batch.forEach(({ code }, at) => {
        code.innerHTML = html[at];
      });
    }
    if (this.uncoloured.length) this.colouring = setTimeout(() => this.colourAll(), COLOUR_AFTER_MS);
  }

  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      this.say("Copied");
      toast({ level: "success", message: "Copied." });
    } catch {
      toast({ level: "warning", message: "The browser did not allow copying. Select the text and copy it yourself." });
    }
  }

  say(text) {
    $("#play-live").textContent = text;
  }

  alert(text) {
    const box = $("#play-alert");
    box.hidden = !text;
    box.replaceChildren(h("div", {}, text));
  }

  // The page's controls.

  wire() {
    on("click", "[data-copy-code]", (_event, button) => this.copy(button.closest(".code-block").querySelector("code").textContent));
    on("click", "#play-list-toggle", () => this.toggleList());
    on("click", "#play-list-close", () => this.toggleList(false));
    on("click", "#play-share", () => this.shareConversation());
    document.addEventListener("playground:conversation", ({ detail }) => {
      if (!this.conversation || detail.id !== this.conversation.id) return;
      Object.assign(this.conversation, { shared: detail.shared, title: detail.title });
      this.title(detail.title);
      this.refreshList();
    });
    on("click", "#play-rename", () => this.openRename());
    on("click", "[data-export]", (_event, button) => this.leaveFor(`${this.idUrl("export")}?format=${button.dataset.export}`));
    on("click", "#play-fork", () => this.fork());
    on("click", "#play-add", () => this.addColumn());
    on("click", "[data-vote]", (_event, button) => this.vote(button.dataset.vote));
    document.addEventListener("keydown", (event) => this.key(event));
    $("#play-sync")?.addEventListener("change", (event) => (this.synced = event.target.checked));
    $("#play-differ")?.addEventListener("change", (event) => {
      this.differs = event.target.checked;
      this.showDifference();
    });
    document.addEventListener("submit", (event) => {
      if (event.target.id === "play-delete") event.target.action = this.idUrl("delete");
    }, true);
    if (!this.mayRun) return;
    $("#play-run").addEventListener("click", () => this.run());
    $("#play-stop").addEventListener("click", () => this.stop());
    $("#play-unbranch").addEventListener("click", () => this.setParent(null));
    $("#play-project").addEventListener("change", () => this.projectChanged());
    $("#play-blind").addEventListener("change", (event) => this.wantBlind(event.target.checked));
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing && !$("dialog[open]")) {
      event.preventDefault();
      this.run();
    } else if (event.key === "Escape" && !$("dialog[open]") && this.running.length && !event.defaultPrevented) {
      event.preventDefault();
      this.stop();
    }
  }

  idUrl(name) {
    return this.urls[name].replace("ID", this.conversation?.id || "");
  }

  leaveFor(url) {
    location.assign(url);
  }

  wantBlind(wanted) {
    if (this.conversation) {
      $("#play-blind").checked = false;
      toast({ level: "info", message: "A blind comparison begins with a new conversation.", link: { url: this.urls.index, label: "New" } });
      return;
    }
    this.wantsBlind = wanted;
    if (wanted) {
      $("#play-blind").closest("details").open = false;
      while (this.columns.length < 2) this.addColumn();
      while (this.columns.length > 2) this.removeColumn(this.columns.at(-1));
    }
    this.render();
    this.changed();
    this.composer.text.focus();
  }

  async projectChanged() {
    const response = await fetch(`${this.urls.models}?project=${encodeURIComponent($("#play-project").value)}`).catch(() => null);
    if (!response?.ok) return;
    Object.assign(this, await response.json());
    for (const column of this.columns) column.showModels();
    this.changed();
    this.refreshBudget();
  }

  toggleList(open = !this.root.classList.contains("list-open")) {
    this.root.classList.toggle("list-open", open);
    $("#play-list-toggle").setAttribute("aria-expanded", open);
    if (open) $("#play-search")?.focus();
    else $("#play-list-toggle").focus();
  }

  openRename() {
    const dialog = $("#play-rename-dialog");
    const form = $("form", dialog);
    form.elements.title.value = this.conversation.title;
    form.onsubmit = async (event) => {
      event.preventDefault();
      const title = form.elements.title.value.trim();
      if ((await post(this.idUrl("rename"), { title })) === null) return;
      dialog.close();
      this.conversation.title = title;
      this.title(title);
      this.refreshList();
    };
    dialog.showModal();
    form.elements.title.select();
  }

  async shareConversation() {
    await window.htmx.ajax("POST", this.idUrl("share"), { target: "#conversation-state", swap: "outerHTML" });
    $("#play-share-dialog").showModal();
  }

  async fork() {
    const form = $("#play-fork-form");
    form.action = this.idUrl("fork");
    form.elements.turn.value = this.leaf || "";
    form.elements.project.value = $("#play-project")?.value || "";
    form.submit();
  }
}

const short = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text);

const root = $("#playground");
if (root) window.lobbyPlayground = new Page(root, readJson("play-data"));
