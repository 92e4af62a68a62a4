const dialog = document.getElementById("detail");
const large = document.getElementById("detail-image");
let current = -1;

function openDetail(index) {
  current = index;
  showPicture(cells[index]);
  document.getElementById("detail-text").replaceChildren(...textOf(cells[index]));
  document.getElementById("detail-text").scrollTop = 0;
  showPosition();
  if (!dialog.open) {
    dialog.showModal();
    dialog.focus();
  }
  history.replaceState(null, "", `#cell=${encodeURIComponent(cells[index].id)}`);
}

/** Show the thumbnail at once, then the original if it is where the report says. */
function showPicture(cell) {
  const small = thumbnailOf(cell);
  const original = originalOf(cell);
  const note = document.getElementById("detail-note");
  large.hidden = !small && !original;
  note.hidden = !large.hidden;
  note.replaceChildren(...(note.hidden ? [] : noteOf(cell)));
  note.parentElement.dataset.status = cell.status;
  large.alt = cell.prompt || cell.id;
  if (small) large.src = small;
  else large.removeAttribute("src");
  if (!original) return;
  const probe = new Image();
  probe.addEventListener("load", () => {
    if (cells[current] === cell) large.src = probe.src;
  });
  probe.src = original;
}

function showPosition() {
  const button = buttons.get(current);
  const all = [...document.querySelectorAll(".cell:not([hidden])")];
  document.getElementById("position").textContent = `${all.indexOf(button) + 1} of ${all.length}`;
  document.getElementById("previous").disabled = !neighbour(button, -1, 0);
  document.getElementById("next").disabled = !neighbour(button, 1, 0);
}

function step(across, down) {
  const next = neighbour(buttons.get(current), across, down);
  if (next) openDetail(Number(next.id.slice(1)));
}

function textOf(cell) {
  const original = originalOf(cell);
  const actions = [copyButton("Copy prompt", cell.prompt), copyButton("Copy request JSON", JSON.stringify(cell.request, null, 2))];
  if (original) actions.push(make("a", { className: "action", href: original, target: "_blank", rel: "noopener", textContent: "Open original" }));
  const { prompt, ...parameters } = cell.request;
  const stage = report.stages.find(({ name }) => name === cell.stage) ?? { axes: [] };
  return [
    make("h2", { id: "detail-title", textContent: nameOf(stage.axes, cell) }),
    make("p", { className: "id mono", textContent: cell.id }),
    stateOf(cell),
    ...section("Prompt", make("p", { className: "prompt", textContent: cell.prompt })),
    make("div", { className: "actions" }, ...actions),
    ...tableSection("Axes", Object.entries(cell.axes)),
    ...tableSection("Parameters", Object.entries(parameters)),
    ...tableSection("Run", runFacts(cell)),
    ...tableSection("Attempts", cell.attempts.map(({ at, event, detail }) => [moment(at), detail ? `${event}: ${detail}` : event])),
  ];
}

function stateOf(cell) {
  const marks = cell.status === "succeeded" ? [] : [mark(cell.status)];
  const why = cell.error ? `${whyOf(cell)} (${cell.error.code})` : whyOf(cell);
  const state = make("p", { className: "state", "data-status": cell.status }, ...marks, make("strong", { textContent: WORDS[cell.status] }));
  state.append(make("span", { textContent: why }));
  return state;
}

function runFacts(cell) {
  const { submitted_at: submitted, finished_at: finished, seconds } = cell.timings;
  const facts = [
    [cell.status === "uncertain" ? "Possible cost" : "Cost", dollars(cell.cost_usd)],
    ["Reason", cell.reason],
    ["Submitted", submitted && moment(submitted)],
    ["Finished", finished && moment(finished)],
    ["Took", seconds !== null && `${Math.round(seconds * 10) / 10} s`],
    ["Adopted", cell.adopted && "the answer was lost; the job was found in Krea's list"],
    ["May be", cell.error?.candidates?.length && make("code", { textContent: cell.error.candidates.join(" ") })],
    ["Job", cell.job_id && make("code", { textContent: cell.job_id })],
    ["File", cell.image],
    ["Key", make("code", { textContent: cell.key })],
    ["SHA-256", cell.sha256 && make("code", { textContent: cell.sha256 })],
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

function copyButton(label, text) {
  const button = make("button", { type: "button", className: "action", textContent: label });
  button.addEventListener("click", async () => {
    const done = await copy(text, button);
    button.textContent = done ? "Copied" : "Could not copy";
    setTimeout(() => { button.textContent = label; }, 1500);
  });
  return button;
}

/** The clipboard API is closed to some pages from disk, the old command is not. */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", { value: text });
    dialog.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    button.focus();
    return done;
  }
}

function openFromHash() {
  const asked = /^#cell=(.*)$/.exec(location.hash);
  if (!asked) return;
  const index = cells.findIndex((cell) => cell.id === decodeURIComponent(asked[1]));
  if (index >= 0 && index !== current) openDetail(index);
}

function startDialog() {
  document.getElementById("previous").addEventListener("click", () => step(-1, 0));
  document.getElementById("next").addEventListener("click", () => step(1, 0));
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (!STEPS[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    step(...STEPS[event.key]);
  });
  dialog.addEventListener("close", () => {
    const button = buttons.get(current);
    current = -1;
    history.replaceState(null, "", location.pathname + location.search);
    button?.scrollIntoView({ block: "nearest" });
    button?.focus();
  });
  window.addEventListener("hashchange", openFromHash);
}
