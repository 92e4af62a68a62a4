/* Ladders: along one axis, how far each cell's picture is from the next one's, so that one sees where a slider stops acting. */

/** A step below this hardly shows: twice what saving a picture again makes. */
const HARDLY_DIFFERS = 0.02;

/** Values that are words, and have an order all the same. */
const WORD_ORDERS = [["raw", "low", "medium", "high"]];

/** Numbers without an order that means anything. */
const UNORDERED_NUMBERS = /(^|\.)(seed|take|run)$/;
const SLIDERS = /(^|\.)(creativity|intensity|complexity|movement|strength)$/;

/** The values of an axis that cells use, by size or rank where they have one, else as in the file; `ordered` says which. */
function stepsOf(axis, members) {
  return inSteps(axis, valuesInUse(axis, members));
}

function inSteps(axis, used) {
  const values = used.filter(({ key }) => key !== "");
  const data = values.map(({ key }) => JSON.parse(key));
  const order = WORD_ORDERS.find((words) => data.every((one) => words.includes(one)));
  const rank = order ? (one) => order.indexOf(one) : data.every((one) => typeof one === "number") ? Number : null;
  if (rank) values.sort((a, b) => rank(JSON.parse(a.key)) - rank(JSON.parse(b.key)));
  return { values, ordered: Boolean(rank) && (order !== undefined || !UNORDERED_NUMBERS.test(axis.name)) };
}

/** The axes of a stage that have a ladder, the best first: {axis, ordered}. */
function ladderAxes(stage) {
  const found = stage.axes.map((axis) => ({ axis, ...inSteps(axis, axisTable(stage, axis.name).values) })).filter(({ values }) => values.length > 2);
  const worth = ({ axis, ordered }) => (ordered ? 2 : 0) + (SLIDERS.test(axis.name) ? 1 : 0);
  return found.sort((a, b) => worth(b) - worth(a));
}

const membersOf = (stage) => cells.filter((cell) => cell.stage === stage.name);

/**
 * The ladder of an axis: its values, for each combination of the other axes a line {name, cells, distances}, and the
 * median distance of each step; null where a cell is missing or a picture is not known. `by` splits the lines into
 * `groups` {label, lines, medians} by their values of another axis; `isFromFirst` measures from the first value instead
 * of the one before.
 */
function ladderOf(stage, name, members, { by = "", isFromFirst = false } = {}) {
  const axis = stage.axes.find((one) => one.name === name);
  const { values } = stepsOf(axis, members);
  const splitter = stage.axes.find((one) => one.name === by && one !== axis);
  const places = new Map(values.map(({ key }, place) => [key, place]));
  const others = stage.axes.filter((one) => one !== axis && valuesInUse(one, members).length > 1);
  const lines = new Map();
  for (const cell of members) {
    const place = places.get(keyOf(cell.axes[name]));
    const key = others.map((other) => keyOf(cell.axes[other.name])).join("\n");
    if (place === undefined) continue;
    if (!lines.has(key)) lines.set(key, { group: splitter ? keyOf(cell.axes[by]) : "", name: others.map((other) => labelOf(cell, other)).join(" · "), cells: Array(values.length).fill(null) });
    lines.get(key).cells[place] ??= cell;
  }
  const found = [...lines.values()].map((line) => ({ ...line, distances: distancesAlong(line.cells, isFromFirst) }));
  const groups = splitter ? valuesInUse(splitter, members).map(({ key, label }) => groupOf(label, found.filter(({ group }) => group === key), values)) : [];
  return { stage, axis, values, lines: found, medians: mediansOf(found, values), groups, splitter, isFromFirst };
}

const groupOf = (label, lines, values) => ({ label, lines, medians: mediansOf(lines, values) });

const mediansOf = (lines, values) => values.slice(1).map((value, at) => medianOf(lines.map(({ distances }) => distances[at])));

/** From each cell to the next one, or from the first cell to each other. */
function distancesAlong(row, isFromFirst) {
  return row.slice(1).map((cell, at) => {
    const from = row[isFromFirst ? 0 : at];
    return cell && from ? likenessDistance(from.likeness, cell.likeness) : null;
  });
}

/** From which value a step is measured: its place. */
const stepStart = ({ isFromFirst }, at) => (isFromFirst ? 0 : at);

function medianOf(numbers) {
  const known = numbers.filter((one) => one !== null).sort((a, b) => a - b);
  if (!known.length) return null;
  const half = known.length >> 1;
  return known.length % 2 ? known[half] : (known[half - 1] + known[half]) / 2;
}

const stepText = (distance) => distance.toFixed(distance < 0.1 ? 3 : 2);

/** Groups of a split ladder that are put into words. */
const MOST_GROUPS_SAID = 6;

/** What a ladder shows, in words: of each of its groups, where it is split. */
function ladderSentences(ladder) {
  const { groups, splitter } = ladder;
  if (!groups.length) return sentencesOf(ladder);
  return groups.slice(0, MOST_GROUPS_SAID).map((group) => `${splitter.name} ${group.label}: ${sentencesOf({ ...ladder, ...group }).join(" ")}`);
}

function sentencesOf(ladder) {
  const { axis, values, medians } = ladder;
  const known = medians.filter((one) => one !== null);
  if (!known.length) return ["No two neighbours have comparable pictures."];
  if (ladder.isFromFirst) return [sentenceFromFirst(ladder)];
  const runs = flatRuns(medians);
  if (!runs.length) {
    const at = medians.indexOf(Math.max(...known));
    return [`Every step of ${axis.name} shows; most from ${values[at].label} to ${values[at + 1].label} (median ${stepText(medians[at])}).`];
  }
  return runs.map(([from, to]) => {
    const steps = medians.slice(from, to);
    const amount = steps.length > 1 ? `medians ${steps.map(stepText).join(", ")}` : `median ${stepText(steps[0])}`;
    return `From ${axis.name} ${values[from].label} to ${values[to].label} nothing changes visibly (${amount}${howMany(ladder, from, to)}).`;
  });
}

/** How far each value is from the first one, and up to which one that does not show. */
function sentenceFromFirst({ axis, values, medians }) {
  const [first, ...others] = values.map(({ label }) => label);
  const reached = others.filter((label, at) => medians[at] !== null && medians[at] < HARDLY_DIFFERS);
  const listed = others.map((label, at) => `${label} ${medians[at] === null ? "–" : stepText(medians[at])}`).join(", ");
  const hidden = reached.length ? ` ${reached.join(", ")} ${reached.length > 1 ? "do" : "does"} not differ visibly from it.` : "";
  return `Median distances from ${axis.name} ${first}: ${listed}.${hidden}`;
}

/** Neighbouring steps that hardly differ, as [first value, last value]. */
function flatRuns(medians) {
  const runs = [];
  medians.forEach((median, at) => {
    if (median === null || median >= HARDLY_DIFFERS) return;
    if (runs.at(-1)?.[1] === at) runs.at(-1)[1] = at + 1;
    else runs.push([at, at + 1]);
  });
  return runs;
}

function howMany({ lines }, from, to) {
  const known = lines.map(({ distances }) => distances.slice(from, to).filter((one) => one !== null)).filter((steps) => steps.length);
  const flat = known.filter((steps) => steps.every((one) => one < HARDLY_DIFFERS)).length;
  return known.length > 1 ? `, in ${flat} of ${known.length} combinations` : "";
}

/* The section under the header of a stage. */

const ladderSections = new Map();

/** The ladder of a stage: one element for each stage, always the same; hidden where no axis has three values. */
function ladderSection(stage) {
  if (!ladderSections.has(stage.name)) {
    ladderSections.set(stage.name, make("div", { className: "ladder", "data-stage": stage.name }));
    fillLadder(stage);
  }
  return ladderSections.get(stage.name);
}

function fillLadder(stage) {
  const section = ladderSections.get(stage.name);
  const axes = ladderAxes(stage);
  const focused = section.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  const wasOpen = Boolean(section.querySelector("details")?.open);
  section.hidden = !axes.length || !membersOf(stage).some(({ likeness }) => likeness);
  section.replaceChildren();
  if (section.hidden) return;
  const shown = axes.find(({ axis }) => axis.name === view.ladder);
  section.append(ladderBar(stage, axes, shown));
  if (shown) section.append(...ladderBody(section, stage, shown.axis));
  if (wasOpen) section.querySelector("details")?.setAttribute("open", "");
  if (focused) section.querySelector(`[data-act="${focused}"]`)?.focus();
}

function ladderBar(stage, axes, shown) {
  const toggle = make("button", { type: "button", "data-act": "toggle", "aria-expanded": String(Boolean(shown)), textContent: shown ? "Ladder along" : "Ladder", title: "How far neighbours along an axis differ" });
  toggle.addEventListener("click", () => setView({ ladder: shown ? "" : axes[0].axis.name }));
  if (!shown) return make("div", { className: "ladder-bar" }, toggle);
  const options = (wanted) => axes.filter(({ ordered }) => ordered === wanted).map(({ axis }) => make("option", { value: axis.name, textContent: axis.name, selected: axis === shown.axis }));
  const [first, others] = [options(true), options(false)];
  const select = make("select", { "aria-label": `Axis of the ladder of ${stage.name}`, "data-act": "axis" }, ...first);
  if (others.length) select.append(first.length ? make("optgroup", { label: "without an order" }, ...others) : others[0], ...(first.length ? [] : others.slice(1)));
  select.addEventListener("change", () => setView({ ladder: select.value }));
  return make("div", { className: "ladder-bar" }, toggle, select, ...splitChoice(stage, shown.axis), firstChoice());
}

/** By which other axis a ladder is split. */
function splitChoice(stage, axis) {
  const members = membersOf(stage);
  const others = stage.axes.filter((one) => one !== axis && valuesInUse(one, members).length > 1);
  if (!others.length) return [];
  const options = [["", "not split"], ...others.map(({ name }) => [name, `split by ${name}`])];
  const select = make("select", { "aria-label": `Split the ladder of ${stage.name}`, "data-act": "split" },
    ...options.map(([value, textContent]) => make("option", { value, textContent, selected: value === view.ladderBy })));
  select.addEventListener("change", () => setView({ ladderBy: select.value }));
  return [select];
}

function firstChoice() {
  const options = [["", "from each value to the next"], ["first", "from the first value"]];
  const select = make("select", { "aria-label": "Distances are measured", "data-act": "from" },
    ...options.map(([value, textContent]) => make("option", { value, textContent, selected: Boolean(value) === view.ladderFirst })));
  select.addEventListener("change", () => setView({ ladderFirst: Boolean(select.value) }));
  return select;
}

function ladderBody(section, stage, axis) {
  const members = shownCells().map((index) => cells[index]).filter((cell) => cell.stage === stage.name);
  const ladder = ladderOf(stage, axis.name, members, { by: view.ladderBy, isFromFirst: view.ladderFirst });
  const words = make("p", { className: "ladder-words" });
  if (ladder.values.length < 2) {
    words.textContent = `Fewer than two values of ${axis.name} are shown.`;
    return [words];
  }
  words.textContent = ladderSentences(ladder).join(" ");
  return [words, ladderChart(ladder, Math.max(260, sheetRoom().width)), ladderTable(ladder)];
}

let laddersWait = false;

/** Draw the ladders anew once all that listens to the view has heard of its change. */
function redrawLadders() {
  if (laddersWait) return;
  laddersWait = true;
  queueMicrotask(() => {
    laddersWait = false;
    for (const name of ladderSections.keys()) fillLadder(stagesByName.get(name));
  });
}

/** What of the view changes a ladder. */
const LADDER_PARTS = ["ladder", "ladderBy", "ladderFirst", "only", "statuses", "decided", "check", "search"];

/** Put the summary of decisions and the ladder under the name of each stage. */
function placeInStages() {
  for (const stage of report.stages) {
    const header = document.querySelector(`.stage[data-stage="${CSS.escape(stage.name)}"] > header`);
    header?.append(make("div", { className: "stage-facts" }, decisionSummary(stage), ...pairsButton(stage), ...valuesSection(stage), ladderSection(stage)));
  }
}

function startLadders() {
  placeInStages();
  onView((now, before) => {
    if (LADDER_PARTS.some((part) => now[part] !== before[part])) redrawLadders();
  });
  onRows(redrawLadders);
  onDecisions((indexes) => {
    if (view.decided && view.ladder && indexes.length) redrawLadders();
  });
  let width = innerWidth;
  window.addEventListener("resize", () => {
    if (innerWidth !== width && view.ladder) redrawLadders();
    width = innerWidth;
  });
}
