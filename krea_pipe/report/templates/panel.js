/* The text beside the open cell. */

const IMAGE_FIELDS = new Set(["prompt", "image_style_references", "image", "moodboards", "styles"]);

function panelOf(cell) {
  if (view.blind) return blindPanel(cell);
  const parameters = Object.entries(cell.request).filter(([name]) => !IMAGE_FIELDS.has(name))
    .map(([name, value]) => [name, name === "engine" ? engineText(value) : value]);
  const editor = typeof decisionEditor === "function" ? [decisionEditor(cell)] : [];
  return [
    make("h2", { id: "detail-title", textContent: nameOf(axesOf(cell), cell) }),
    make("p", { className: "id mono", textContent: cell.id }),
    stateOf(cell),
    ...editor,
    ...section("Prompt", make("p", { className: "prompt" }, ...promptNodes(cell)), ...templateNodes(cell)),
    actionsOf(cell),
    ...provenanceNodes(cell),
    ...deliveredNodes(cell),
    ...tableSection("Axes", axesOf(cell).filter(({ name }) => name in cell.axes).map((axis) => [axis.name, labelOf(cell, axis)])),
    ...checkSection(cell),
    ...tableSection("Parameters", parameters),
    ...tableSection("Run", runFacts(cell)),
    ...tableSection("Attempts", cell.attempts.map(({ at, event, detail }) => [moment(at), detail ? `${event}: ${detail}` : event])),
  ];
}

function actionsOf(cell) {
  const original = originalOf(cell);
  const actions = make("div", { className: "actions", role: "group", "aria-label": "Copy" },
    copyButton("Copy prompt", () => cell.prompt, { id: "copy-prompt" }),
    copyButton("Copy request", () => requestText(cell), { id: "copy-request" }),
    ...(cell.request.engine ? [] : [copyButton("Copy as cURL", () => curlOf(cell), { id: "copy-curl" })]),
    copyButton("Copy as YAML", () => pipelineOf(cell), { id: "copy-yaml" }));
  if (original) actions.append(make("a", { id: "open-original", className: "action", href: original, target: "_blank", rel: "noopener", textContent: page.previews ? "Open preview" : "Open original" }));
  return actions;
}

function stateOf(cell) {
  const marks = cell.status === "succeeded" ? [] : [mark(cell.status)];
  const code = cell.error ? [make("span", { className: "code mono", textContent: `${cell.error.code}, ${cell.error.class}` })] : [];
  return make("p", { className: "state", "data-status": cell.status }, ...marks,
    make("strong", { textContent: WORDS[cell.status] }), make("span", { textContent: whyOf(cell) }), ...code);
}

function runFacts(cell) {
  const { submitted_at: submitted, finished_at: finished, seconds } = cell.timings;
  const facts = [
    [cell.status === "uncertain" ? "Possible cost" : "Cost", dollars(cell.cost_usd)],
    ["Reason", cell.error && cell.reason],
    ["Submitted", submitted && moment(submitted)],
    ["Finished", finished && moment(finished)],
    ["Took", seconds !== null && `${Math.round(seconds * 10) / 10} s`],
    ["Pixels", cell.width && cell.height && `${cell.width} × ${cell.height}`],
    ["Adopted", cell.adopted && "the answer was lost; the job was found in Krea's list"],
    ["May be", cell.error?.candidates?.length && make("code", { textContent: cell.error.candidates.join(" ") })],
    ["Job", cell.job_id && make("code", { textContent: cell.job_id })],
    ["File", cell.image],
    ["Key", digestButton(cell.key)],
    ["SHA-256", cell.sha256 && digestButton(cell.sha256)],
  ];
  return facts.filter(([, value]) => value);
}

function section(title, ...content) {
  return [make("h3", { textContent: title }), ...content];
}

function tableSection(title, entries) {
  if (!entries.length) return [];
  const rows = entries.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, ...breakable(name)), valueCell(value)));
  return section(title, make("table", {}, make("tbody", {}, ...rows)));
}

/** Long parameter names break after an underscore. */
function breakable(name) {
  return name.split(/(?<=_)/).flatMap((part) => [part, make("wbr")]);
}

function valueCell(value) {
  if (value instanceof Node) return make("td", {}, value);
  if (value !== null && typeof value === "object") return make("td", {}, make("code", { textContent: plain(value) }));
  return make("td", { textContent: plain(value) });
}
