// What a text has that another has not, word by word: for "difference from A".

const MOST_CELLS = 4_000_000;

/** [{kind: "same" | "new" | "gone", text}], from ``before`` to ``after``. Long texts are compared by lines. */
export function difference(before, after) {
  const words = /\s+|[^\s\w]|\w+/gu;
  let a = before.match(words) || [];
  let b = after.match(words) || [];
  if (a.length * b.length > MOST_CELLS) {
    a = before.split(/(?<=\n)/);
    b = after.split(/(?<=\n)/);
  }
  if (a.length * b.length > MOST_CELLS) return [{ kind: "gone", text: before }, { kind: "new", text: after }];
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const parts = [];
  const add = (kind, text) => {
    if (parts.at(-1)?.kind === kind) parts.at(-1).text += text;
    else parts.push({ kind, text });
  };
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      add("same", a[i]);
      i += 1;
      j += 1;
    } else if (j < b.length && (i === a.length || longest[i * width + j + 1] > longest[(i + 1) * width + j])) {
      add("new", b[j]);
      j += 1;
    } else {
      add("gone", a[i]);
      i += 1;
    }
  }
  return parts;
}
