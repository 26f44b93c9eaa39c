// The connection to the server: numbered messages, answers by numbered events, and coming back after it broke.

const TRIES_BEFORE_TELLING = 3;
const LONGEST_WAIT_MS = 15000;
const PING_MS = 25000;

export class Connection {
  /** @param {{url: string, onMessage: (message: object) => void, onState: (state: string, text?: string) => void}} options */
  constructor({ url, onMessage, onState }) {
    this.url = url;
    this.onMessage = onMessage;
    this.onState = onState;
    this.cursors = new Map(); // answer -> the last event that is here
    this.unconfirmed = new Map(); // key -> a run that the server has not confirmed
    this.numbers = new Map(); // n -> key, on this connection
    this.waiting = [];
    this.tries = 0;
    this.n = 0;
    this.over = false;
    this.opened = false;
    this.open();
    window.addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.retryNow());
    setInterval(() => this.ready && this.send({ type: "ping" }), PING_MS);
  }

  get ready() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  open() {
    if (!("WebSocket" in window)) {
      this.onState("impossible", "This browser has no websockets. Answers need one: use a current browser.");
      return;
    }
    this.n = 0;
    this.numbers.clear();
    const socket = (this.socket = new WebSocket(this.url));
    socket.addEventListener("open", () => {
      this.tries = 0;
      this.opened = true;
      this.onState("open");
      for (const [answer, after] of this.cursors) this.send({ type: "join", answer, after });
      for (const message of this.unconfirmed.values()) this.send(message);
      for (const message of this.waiting.splice(0)) this.send(message);
    });
    socket.addEventListener("message", (event) => this.take(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => socket === this.socket && this.closed(event));
  }

  closed({ code }) {
    if (code === 4401 || code === 4403) {
      this.over = true;
      this.onState(code === 4401 ? "signed-out" : "no-access");
      return;
    }
    this.tries += 1;
    if (!this.opened && this.tries >= TRIES_BEFORE_TELLING) {
      this.onState(
        "impossible",
        "The live connection to Lobby cannot be opened. A proxy between you and Lobby may block websockets: ask your network's administrators to allow them for this address. Lobby goes on trying.",
      );
    } else if (this.opened) {
      this.onState("lost");
    }
    clearTimeout(this.timer);
    const wait = Math.min(300 * 2 ** (this.tries - 1), LONGEST_WAIT_MS) * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => this.open(), wait);
  }

  retryNow() {
    if (this.over || this.ready || this.socket?.readyState === WebSocket.CONNECTING) return;
    clearTimeout(this.timer);
    this.open();
  }

  send(message) {
    if (!this.ready) {
      this.waiting.push(message);
      return;
    }
    this.n += 1;
    if (message.key) this.numbers.set(this.n, message.key);
    this.socket.send(JSON.stringify({ ...message, n: this.n }));
  }

  /** Kept until the server confirms it: after a broken connection it goes out again, and runs once. */
  run(message) {
    const key = crypto.randomUUID?.() || `${Date.now()}-${Math.random()}`;
    const kept = { ...message, type: "run", key };
    this.unconfirmed.set(key, kept);
    if (this.ready) this.send(kept);
    return key;
  }

  listen(answer, after = 0) {
    this.cursors.set(answer, after);
  }

  join(answer, after = 0) {
    this.listen(answer, after);
    if (this.ready) this.send({ type: "join", answer, after });
  }

  take(message) {
    if (message.type === "events") {
      const cursor = this.cursors.get(message.answer);
      if (cursor === undefined || message.last <= cursor) return;
      if (message.after !== cursor) {
        // A frame went missing between processes: ask again from where we are.
        this.send({ type: "join", answer: message.answer, after: cursor });
        return;
      }
      this.cursors.set(message.answer, message.last);
    } else if (message.type === "begun") {
      this.unconfirmed.delete(this.numbers.get(message.n));
      for (const answer of message.answers) this.listen(answer.id);
    } else if (message.type === "error") {
      this.unconfirmed.delete(this.numbers.get(message.n));
    } else if (message.type === "closed") {
      this.cursors.delete(message.answer);
    } else if (message.type === "answer") {
      this.cursors.delete(message.answer.id);
    }
    this.onMessage(message);
  }
}
