// Markdown into elements while it streams. Nothing here parses HTML: every element is made by name, every text is a text
// node, and a link has to be https, http or mail. So whatever a model writes, nothing of it can run or be fetched.

const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([^`\n]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#*)?[ \t]*$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( +|$)/;
const ROW_RULE = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const BLANK = /^[ \t]*$/;
const DEEPEST = 12;
// Text that is neither ended nor broken into blocks is drawn anew each frame up to this length, and then less often.
const LONG_TAIL = 12000;
const LONG_TAIL_MS = 200;
const BLOCKS_PER_GROUP = 24;

const make = (tag, ...children) => {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
};

/** Top-level blocks of a text: [{start, build, kind}]. Only the last may still change when more text comes. */
function blocks(text, depth = 0) {
  const found = [];
  const lines = text.split("\n");
  let offset = 0;
  for (let at = 0; at < lines.length; ) {
    const start = offset;
    const take = (count) => {
      const taken = lines.slice(at, at + count);
      for (const line of taken) offset += line.length + 1;
      at += count;
      return taken;
    };
    const line = lines[at];
    if (BLANK.test(line)) {
      take(1);
      continue;
    }
    const fence = FENCE.exec(line);
    if (fence) {
      const closing = new RegExp(`^ {0,3}${fence[1][0]}{${fence[1].length},}[ \\t]*$`);
      let end = at + 1;
      while (end < lines.length && !closing.test(lines[end])) end += 1;
      const closed = end < lines.length;
      const body = take(closed ? end - at + 1 : end - at).slice(1, closed ? -1 : undefined);
      found.push({ start, kind: "code", closed, language: fence[2].trim().split(/\s/)[0] || "", code: body.join("\n") });
      continue;
    }
    const heading = HEADING.exec(line);
    if (heading) {
      take(1);
      found.push({ start, build: () => make(`h${heading[1].length}`, ...inline(heading[2] || "")) });
      continue;
    }
    if (RULE.test(line)) {
      take(1);
      found.push({ start, build: () => make("hr") });
      continue;
    }
    if (QUOTE.test(line) && depth < DEEPEST) {
      let end = at + 1;
      while (end < lines.length && !BLANK.test(lines[end]) && (QUOTE.test(lines[end]) || !startsBlock(lines[end]))) end += 1;
      const inner = take(end - at).map((each) => each.replace(QUOTE, "")).join("\n");
      found.push({ start, build: () => make("blockquote", ...build(inner, depth + 1)) });
      continue;
    }
    const item = ITEM.exec(line);
    if (item && depth < DEEPEST) {
      found.push({ start, build: list(lines, at, item, take, depth) });
      continue;
    }
    if (line.includes("|") && at + 1 < lines.length && lines[at + 1].includes("-") && ROW_RULE.test(lines[at + 1]) && cells(line).length === cells(lines[at + 1]).length) {
      let end = at + 2;
      while (end < lines.length && !BLANK.test(lines[end]) && !startsBlock(lines[end])) end += 1;
      const rows = take(end - at);
      found.push({ start, build: () => table(rows) });
      continue;
    }
    if (/^ {4}/.test(line)) {
      let end = at + 1;
      while (end < lines.length && (/^ {4}/.test(lines[end]) || BLANK.test(lines[end]))) end += 1;
      while (end > at + 1 && BLANK.test(lines[end - 1])) end -= 1;
      const code = take(end - at).map((each) => each.slice(4)).join("\n");
      found.push({ start, kind: "code", closed: false, language: "", code });
      continue;
    }
    let end = at + 1;
    while (end < lines.length && !BLANK.test(lines[end]) && !startsBlock(lines[end])) end += 1;
    const paragraph = take(end - at).map((each) => each.trimStart()).join("\n").trimEnd();
    found.push({ start, build: () => make("p", ...inline(paragraph)) });
  }
  return found;
}

function startsBlock(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || /^ {0,3}(?:[-*+]|1[.)]) +\S/.test(line);
}

function list(lines, at, first, take, depth) {
  const ordered = /\d/.test(first[2]);
  const mark = ordered ? first[2].slice(-1) : first[2];
  const items = [];
  let end = at;
  let loose = false;
  let indent = 0;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    const item = ITEM.exec(line);
    const same = item && (ordered ? /\d/.test(item[2]) && item[2].endsWith(mark) : item[2] === mark);
    if (BLANK.test(line)) {
      // A blank line ends the list, unless more of it follows.
      let next = end + 1;
      while (next < lines.length && BLANK.test(lines[next])) next += 1;
      if (next >= lines.length) break;
      const following = ITEM.exec(lines[next]);
      const goesOn = following && (ordered ? /\d/.test(following[2]) && following[2].endsWith(mark) : following[2] === mark) && !RULE.test(lines[next]);
      const inside = lines[next].startsWith(" ".repeat(indent));
      if (!goesOn && !inside) break;
      loose = true;
      items.at(-1)?.push("");
    } else if (items.length && line.startsWith(" ".repeat(indent))) {
      items.at(-1).push(line.slice(indent));
    } else if (same && !RULE.test(line)) {
      indent = item[1].length + item[2].length + Math.min(item[3].length || 1, 4);
      items.push([line.slice(Math.min(indent, line.length))]);
    } else if (items.length && !startsBlock(line) && !item && !BLANK.test(lines[end - 1])) {
      items.at(-1).push(line.trimStart());
    } else {
      break;
    }
  }
  take(end - at);
  return () => {
    const element = make(ordered ? "ol" : "ul");
    const start = ordered ? Number.parseInt(first[2], 10) : 1;
    if (ordered && start !== 1) element.start = start;
    for (const item of items) {
      const children = build(item.join("\n"), depth + 1);
      // In a tight list a paragraph is no paragraph.
      const flat = loose ? children : children.flatMap((child) => (child.tagName === "P" ? [...child.childNodes] : [child]));
      element.append(make("li", ...flat));
    }
    return element;
  };
}

function cells(line) {
  const parts = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/);
  return parts.map((part) => part.trim().replaceAll("\\|", "|"));
}

function table(rows) {
  const head = cells(rows[0]);
  const line = (tag, texts) => make("tr", ...head.map((_, at) => make(tag, ...inline(texts[at] || ""))));
  const element = make("table", make("thead", line("th", head)), make("tbody", ...rows.slice(2).map((row) => line("td", cells(row)))));
  return make("div", element);
}

function build(text, depth) {
  return blocks(text, depth).map((block) => (block.kind === "code" ? codeBlock(block).element : block.build()));
}

const SPECIAL = /[\\`*_~[<\n]/g;
const WORD = /[\p{L}\p{N}]/u;

/** Text with its emphasis, code, links and line breaks, as nodes. */
function inline(text, depth = 0) {
  const nodes = [];
  let plain = "";
  const flush = () => {
    if (plain) nodes.push(document.createTextNode(plain));
    plain = "";
  };
  const push = (node) => {
    flush();
    nodes.push(node);
  };
  let at = 0;
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const next = SPECIAL.exec(text);
    if (!next) {
      plain += text.slice(at);
      break;
    }
    plain += text.slice(at, next.index);
    at = next.index;
    const sign = text[at];
    if (sign === "\n") {
      push(make("br"));
      at += 1;
    } else if (sign === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] || "")) {
      plain += text[at + 1];
      at += 2;
    } else if (sign === "`") {
      const ticks = /^`+/.exec(text.slice(at, at + 64))[0];
      const end = closingTicks(text, at + ticks.length, ticks.length);
      if (end < 0) {
        plain += ticks;
        at += ticks.length;
      } else {
        const code = text.slice(at + ticks.length, end).replaceAll("\n", " ");
        push(make("code", /^ .*[^ ].* $/.test(code) ? code.slice(1, -1) : code));
        at = end + ticks.length;
      }
    } else if ((sign === "*" || sign === "_" || sign === "~") && depth < DEEPEST) {
      const span = emphasis(text, at);
      if (span) {
        const inner = inline(text.slice(at + span.size, span.end), depth + 1);
        push(make(sign === "~" ? "s" : span.size === 2 ? "strong" : "em", ...inner));
        at = span.end + span.size;
      } else {
        plain += sign;
        at += 1;
      }
    } else if (sign === "[" && depth < DEEPEST) {
      const link = linkAt(text, at);
      if (link) {
        push(anchor(link.href, inline(link.label, depth + 1)));
        at = link.end;
      } else {
        plain += sign;
        at += 1;
      }
    } else if (sign === "<") {
      const auto = /^<((?:https?:\/\/|mailto:)[^\s<>]+)>/.exec(text.slice(at, at + 2000));
      if (auto) {
        push(anchor(auto[1], [document.createTextNode(auto[1])]));
        at += auto[0].length;
      } else {
        plain += sign;
        at += 1;
      }
    } else {
      plain += sign;
      at += 1;
    }
  }
  flush();
  return nodes;
}

function closingTicks(text, from, size) {
  for (let at = text.indexOf("`", from); at >= 0; at = text.indexOf("`", at)) {
    let run = 1;
    while (text[at + run] === "`") run += 1;
    if (run === size) return at;
    at += run;
  }
  return -1;
}

function emphasis(text, at) {
  const sign = text[at];
  let size = 1;
  while (size < 3 && text[at + size] === sign) size += 1;
  if (sign === "~" && size !== 2) return null;
  if (size === 3) size = 2;
  const after = text[at + size];
  if (!after || /\s/.test(after) || (sign === "_" && WORD.test(text[at - 1] || ""))) return null;
  const mark = sign.repeat(size);
  // A paragraph of thousands of lone marks would otherwise be searched to its end for each.
  const far = Math.min(text.length, at + 4000);
  for (let end = text.indexOf(mark, at + size); end >= 0 && end < far; end = text.indexOf(mark, end + 1)) {
    if (/\s/.test(text[end - 1]) || text[end - 1] === "\\") continue;
    if (sign === "_" && WORD.test(text[end + size] || "")) continue;
    if (size === 1 && (text[end + 1] === sign || text[end - 1] === sign)) {
      end += 1;
      continue;
    }
    while (size === 2 && text[end + 2] === sign) end += 1;
    return { size, end };
  }
  return null;
}

function linkAt(text, at) {
  const rest = text.slice(at, at + 4000);
  const match = /^\[((?:[^[\]\\]|\\.|\[[^\]]*\])*)\]\(\s*<?([^\s<>()]*(?:\([^\s()]*\)[^\s<>()]*)*)>?(?:\s+["'(][^"')]*["')])?\s*\)/.exec(rest);
  if (!match || !safe(match[2])) return null;
  return { label: match[1], href: match[2], end: at + match[0].length };
}

const safe = (href) => /^(https?:\/\/[^\s]|mailto:[^\s])/i.test(href);

function anchor(href, children) {
  const element = make("a", ...children);
  element.setAttribute("href", href);
  element.target = "_blank";
  element.rel = "noopener noreferrer nofollow";
  return element;
}

function codeBlock(block) {
  const code = make("code", block.code);
  const head = make("div", make("span", block.language || "code"));
  head.className = "code-bar";
  const copy = make("button", "Copy");
  copy.type = "button";
  copy.className = "btn btn-ghost btn-sm";
  copy.dataset.copyCode = "";
  head.append(copy);
  const pre = make("pre", code);
  pre.tabIndex = 0;
  pre.setAttribute("aria-label", block.language ? `Code, ${block.language}` : "Code");
  const element = make("div", head, pre);
  element.className = "code-block";
  return { element, code };
}

/** A growing text in an element. ``colour(codeElement, language)`` is called for each code block that is whole. */
export class Markdown {
  constructor(element, colour = () => {}) {
    this.element = element;
    this.colour = colour;
    this.text = "";
    this.done = 0; // up to here the text is drawn for good
    this.live = null; // the element of the last block, and for code its state
    this.drawn = 0;
    this.frame = 0;
    this.group = null;
    this.ended = false;
  }

  append(text) {
    this.text += text;
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  /** The whole text at once. */
  set(text) {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.element.replaceChildren();
    Object.assign(this, { text, done: 0, live: null, group: null, ended: true });
    this.draw();
  }

  end() {
    cancelAnimationFrame(this.frame);
    this.ended = true;
    this.draw();
  }

  draw() {
    this.frame = 0;
    const tail = this.text.slice(this.done);
    const now = performance.now();
    const growsCode = this.live?.code && this.live.block.kind === "code";
    if (!this.ended && tail.length > LONG_TAIL && !growsCode && now - this.drawn < LONG_TAIL_MS) {
      this.frame = requestAnimationFrame(() => this.draw());
      return;
    }
    this.drawn = now;
    // An open block of code only grows: its end is looked for in what is new, and the rest is not read again.
    if (growsCode && !this.ended && this.growCode(tail)) return;
    const found = blocks(tail);
    found.forEach((block, at) => {
      const last = at === found.length - 1;
      if (last && !this.ended) this.drawLive(block);
      else this.drawFinal(block, at === 0);
    });
    if (found.length && !this.ended) this.done += found.at(-1).start;
  }

  growCode(tail) {
    const { seen, code, block } = this.live;
    const fresh = tail.slice(Math.max(seen - 80, 0));
    if (/(^|\n) {0,3}[`~]{3,}/.test(fresh) || !block.fenced) return false;
    const more = tail.slice(seen);
    if (more) code.append(more);
    this.live.seen = tail.length;
    return true;
  }

  drawFinal(block, takesLive) {
    const live = takesLive ? this.live : null;
    if (takesLive) this.live = null;
    if (block.kind === "code") {
      const made = codeBlock(block);
      if (live) live.element.replaceWith(made.element);
      else this.place(made.element);
      this.colour(made.code, block.language);
      return;
    }
    const element = block.build();
    if (live) live.element.replaceWith(element);
    else this.place(element);
  }

  drawLive(block) {
    const earlier = this.live;
    const tailLength = this.text.length - this.done - block.start;
    const made = block.kind === "code" ? codeBlock(block) : { element: block.build(), code: null };
    if (earlier && block.start === 0) earlier.element.replaceWith(made.element);
    else this.place(made.element);
    const first = this.text.slice(this.done + block.start, this.done + block.start + 4);
    this.live = { ...made, seen: tailLength, block: { kind: block.kind, fenced: !block.closed && /^ {0,3}[`~]/.test(first) && this.text.slice(this.done + block.start).includes("\n") } };
  }

  /** In groups, so that what is far off the screen costs nothing to lay out. */
  place(element) {
    if (!this.group || this.group.childElementCount >= BLOCKS_PER_GROUP) {
      this.group = make("div");
      this.group.className = "md-group";
      this.element.append(this.group);
    }
    this.group.append(element);
  }
}
