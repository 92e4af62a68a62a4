/* Making elements. */

/** Make an element: properties by name, `data-*`, `aria-*` and `role` as attributes, then children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

function mark(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#mark-${name}`);
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Set CSS custom properties; the page's policy forbids style attributes, not this. */
function style(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(`--${name}`, value);
  return element;
}

/** What a cell without a picture says in its place. */
function noteOf(cell) {
  return [mark(cell.status), make("strong", { textContent: WORDS[cell.status] }), make("span", { className: "why", textContent: whyOf(cell) })];
}
