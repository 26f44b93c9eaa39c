// The playground: one prompt, one answer, streamed by the gateway itself. While it streams the answer is plain text;
// when it has ended the server renders its Markdown, and the ledger tells tokens and cost.
import { $ } from "./dom.js";

const form = $("#playground");
let controller = null;

if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && controller && stop());
  $("#play-stop").addEventListener("click", stop);
  form.addEventListener("change", showSimulated);
  form.addEventListener("htmx:afterSettle", showSimulated);
  $('[name="message"]', form).focus();
}

function chosen() {
  return $('[name="model"]', form).selectedOptions[0];
}

function showSimulated() {
  $("#simulated").hidden = !chosen()?.hasAttribute("data-simulated");
}

function stop() {
  controller?.abort();
}

function post(url, fields, signal) {
  const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
  return fetch(url, { method: "POST", body: new URLSearchParams(fields), headers: { "X-CSRFToken": token }, signal });
}

function busy(on) {
  $("#play-run").disabled = on;
  $("#play-stop").hidden = !on;
  $("#play-answer").classList.toggle("streaming", on);
  $("#play-answer").setAttribute("aria-busy", on);
}

function begin(message) {
  $("#play-welcome").hidden = true;
  $("#play-turn").hidden = false;
  $("#play-question").textContent = message;
  $("#play-name").textContent = chosen().textContent;
  for (const id of ["#play-answer", "#play-figures", "#play-first", "#play-speed", "#play-error"]) $(id).replaceChildren();
  $("#play-error").hidden = true;
  $("#play-answer").classList.add("plain-text");
  $("#play-state").textContent = "waiting for the first token";
  $(".play-system", form).open = $('[name="system"]', form).value.trim() !== "";
}

async function run() {
  const message = $('[name="message"]', form).value.trim();
  if (controller || !message || !chosen()) return;
  const own = (controller = new AbortController());
  const fields = Object.fromEntries(new FormData(form));
  begin(message);
  busy(true);
  const answer = { text: "", started: performance.now(), first: 0, id: "", error: null };
  try {
    const response = await post(form.action, fields, own.signal);
    answer.id = response.headers.get("x-lobby-request-id") || "";
    if (response.ok) {
      $('[name="message"]', form).value = "";
      await read(response, answer);
    } else {
      answer.error = (await response.json().catch(() => null))?.error || { message: `Lobby answered ${response.status}.` };
    }
    $("#play-state").textContent = answer.error ? "" : "done";
  } catch (error) {
    if (error.name === "AbortError") $("#play-state").textContent = "stopped";
    else answer.error = { message: "The connection to Lobby broke. What was used until then is counted." };
  }
  controller = null;
  busy(false);
  if (answer.error) fail(answer);
  await Promise.all([render(answer.text), figures(answer)]);
  $('[name="message"]', form).focus({ preventScroll: true });
}

async function read(response, answer) {
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const event of events) take(event, answer);
    if (done) break;
  }
}

function take(event, answer) {
  const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
  if (!data || data === "[DONE]") return;
  const chunk = JSON.parse(data);
  if (chunk.error) {
    answer.error = chunk.error;
    return;
  }
  const delta = chunk.choices?.[0]?.delta;
  const piece = delta?.content || delta?.refusal || "";
  if (chunk.usage && answer.first) speed(answer, chunk.usage.completion_tokens);
  if (!piece) return;
  if (!answer.first) {
    answer.first = performance.now();
    $("#play-first").textContent = `first token ${written(answer.first - answer.started)}`;
    $("#play-state").textContent = "streaming";
  }
  answer.text += piece;
  answer.pieces = (answer.pieces || 0) + 1;
  // Text only: whatever the model writes, nothing of it is markup here.
  const scroll = $(".play-scroll");
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
  $("#play-answer").append(piece);
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
  if (answer.pieces % 5 === 0) speed(answer, answer.pieces);
}

function speed(answer, tokens) {
  const seconds = (performance.now() - answer.first) / 1000;
  if (seconds > 0.05 && tokens > 1) $("#play-speed").textContent = `· ${Math.round(tokens / seconds).toLocaleString("en")} tokens/s`;
}

function written(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function fail({ error, id }) {
  const box = $("#play-error");
  const titles = { 429: "Refused by a limit" };
  const title = document.createElement("strong");
  title.textContent = { rate_limit_exceeded: "A rate limit said no.", budget_exceeded: "The budget is used up.", request_over_limit: "Larger than the limit.", model_not_found: "This model may not be called here." }[error.code] || titles[error.status] || "No answer.";
  const text = document.createElement("div");
  text.append(title, ` ${error.message}`);
  if (id) {
    const link = document.createElement("a");
    link.href = form.dataset.request.replace("REQUEST", id);
    link.textContent = "Why";
    text.append(" ", link);
  }
  box.replaceChildren(text);
  box.hidden = false;
  $("#play-state").textContent = "";
}

/** The finished answer as sanitised HTML from the server; where that fails the plain text stays. */
async function render(text) {
  if (!text.trim()) return;
  const response = await post(form.dataset.render, { text }).catch(() => null);
  if (!response?.ok) return;
  $("#play-answer").innerHTML = await response.text();
  $("#play-answer").classList.remove("plain-text");
}

/** Tokens and cost, as soon as the ledger has them: a moment after the end. */
async function figures({ id }) {
  if (!id) return;
  const url = form.dataset.figures.replace("REQUEST", id);
  for (let turn = 0; turn < 25; turn += 1) {
    const response = await fetch(url).catch(() => null);
    if (response?.status === 200) {
      $("#play-figures").innerHTML = await response.text();
      return;
    }
    if (response && response.status !== 204) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
