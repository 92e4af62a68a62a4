/* A prompt as it came about: its template, and the values that the template reads. */

const TEMPLATE_PARTS = /(\{\{[\s\S]*?\}\}|\{%[\s\S]*?%\}|\{#[\s\S]*?#\})/;
const TEMPLATE_NAME = /^\{\{[-+]?\s*([\w.]+)\s*[-+]?\}\}$/;

const templateOf = (cell) => (Number.isInteger(cell.template) ? report.templates?.[cell.template] : undefined);

/** The prompt, in which what the template read from elsewhere is marked as far as it can be told. */
function promptNodes(cell) {
  const nodes = [];
  let rest = cell.prompt;
  for (const { name, text } of valuesRead(cell)) {
    const at = rest.indexOf(text);
    if (at < 0) continue;
    nodes.push(rest.slice(0, at), make("span", { className: "read", title: name, textContent: text }));
    rest = rest.slice(at + text.length);
  }
  return [...nodes, rest];
}

/** What a template puts out as it is, in order; texts of one or two signs could be anywhere. */
function valuesRead(cell) {
  const names = (templateOf(cell) ?? "").split(TEMPLATE_PARTS).map((part) => TEMPLATE_NAME.exec(part)?.[1]).filter(Boolean);
  const known = names.filter((name) => Object.hasOwn(cell.values ?? {}, name));
  const read = known.map((name) => ({ name, text: plain(cell.values[name]).replace(/\s+/g, " ").trim() }));
  return read.filter(({ text }) => text.length > 2);
}

/** The template with its expressions set off, and a table of what it reads; nothing where a prompt has no template. */
function templateNodes(cell) {
  const template = templateOf(cell);
  if (!template || !TEMPLATE_PARTS.test(template)) return [];
  const parts = template.trim().split(TEMPLATE_PARTS).map((part) => (TEMPLATE_PARTS.test(part) ? make("code", { className: TEMPLATE_NAME.test(part) ? "slot-of" : "rule-of", textContent: part }) : part));
  const rows = Object.entries(cell.values ?? {}).map(([name, value]) => {
    return make("tr", {}, make("th", { scope: "row" }, make("code", { textContent: name })), make("td", { textContent: plain(value) }));
  });
  const wasOpen = document.getElementById("template")?.open ?? false;
  return [
    make("details", { id: "template", className: "folded", open: wasOpen },
      make("summary", { textContent: "Template and values" }),
      make("p", { className: "template" }, ...parts),
      ...(rows.length ? [make("table", {}, make("tbody", {}, ...rows))] : [])),
  ];
}
