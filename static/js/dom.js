// Small words for the page: events that outlive swapped fragments, elements, the sprite.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Listen on the document, act on the element that matches: fragments swapped in later need no wiring. */
export function on(type, selector, handle) {
  document.addEventListener(type, (event) => {
    const target = event.target instanceof Element ? event.target.closest(selector) : null;
    if (target) handle(event, target);
  });
}

/** Run now for what is there and again for each fragment that htmx brings. */
export function onContent(run) {
  run(document);
  document.addEventListener("htmx:load", (event) => run(event.target));
}

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${document.documentElement.dataset.icons}#${name}`);
  svg.append(use);
  return svg;
}

/** The JSON that an element carries: a script of data, or a template, which survives a swap. */
export function readJson(id) {
  const node = document.getElementById(id);
  return node ? JSON.parse((node.content ?? node).textContent) : null;
}

/** True while the reader types: single-key shortcuts keep still. */
export function typing(event) {
  const target = event.target;
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
    !["checkbox", "radio", "button"].includes(target.type)
  );
}
