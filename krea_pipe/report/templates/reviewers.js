/* Several people: who decides in this page, what the others have decided, and where they disagree. */

const REVIEWER_STORE = "krea-pipe reviewer";
const DECIDED_BY = "by:";
const LONGEST_NAME = 60;
/** So many stars apart, two people disagree. */
const STARS_APART = 3;

/** The name under which this page decides; "" decides without one. */
let reviewer = "";

/** Where `krea-pipe view` serves the page, it is the server that knows the name. */
function storedReviewer() {
  if (page.form === "view") return "";
  try {
    return localStorage.getItem(REVIEWER_STORE) ?? "";
  } catch {
    return "";
  }
}

/**
 * Of the lines of a picks file, {entries, others}: by id the decision that counts for the reader, which is their own or
 * else the one without a name, and the decisions of other people.
 */
function sharedOut(lines) {
  const [entries, others] = [new Map(), new Map()];
  for (const [id, one] of lines) {
    if (one.by === reviewer || (one.by === "" && entries.get(id)?.by !== reviewer)) entries.set(id, one);
  }
  for (const [id, one] of lines) {
    if (entries.get(id) === one) continue;
    if (!others.has(id)) others.set(id, []);
    others.get(id).push(one);
  }
  return { entries, others };
}

const NO_OTHERS = [];
const othersOf = (cell) => picksFiles.get(cell.stage)?.others.get(cell.id) ?? NO_OTHERS;

const nameSaid = (by) => by || "without a name";
const verdictWords = ({ picked, rejected, stars }) => (rejected ? "rejected" : stars ? starsText(stars) : picked ? "picked" : "not decided");
const otherWords = (one) => `${nameSaid(one.by)}: ${[verdictWords(one), one.note && `note: ${one.note}`].filter(Boolean).join(", ")}`;

/** What others have decided about a cell, as one text. */
const othersSaid = (cell) => othersOf(cell).map(otherWords).join("\n");

/** What counts, filters and orders use: the decision of the reader, or of all people for a reader without a name. */
const countedDecision = (cell) => (reviewer ? decisionOf(cell) : jointDecision(cell));

/** Whether one picks what another rejects, or their stars are far apart. */
function isDisputed(cell) {
  const others = othersOf(cell);
  if (!others.length) return false;
  const all = [decisionOf(cell), ...others].filter(({ picked, rejected }) => picked || rejected);
  const stars = all.map((one) => one.stars).filter(Boolean);
  return (all.some(({ picked }) => picked) && all.some(({ rejected }) => rejected)) || Math.max(...stars) - Math.min(...stars) >= STARS_APART;
}

/**
 * What everyone has decided about a cell, as krea-pipe reads a picks file: decisions that agree count as one, with the mean
 * of their stars; where they disagree, nothing is decided.
 */
function jointDecision(cell) {
  const all = [decisionOf(cell), ...othersOf(cell)].filter(({ picked, rejected }) => picked || rejected);
  const [picked, rejected] = [all.some((one) => one.picked), all.some((one) => one.rejected)];
  if (picked === rejected) return NO_DECISION;
  const stars = all.map((one) => one.stars).filter(Boolean);
  return { picked, rejected, stars: stars.length ? sumOf(stars) / stars.length : 0, note: "" };
}

function isDecidedBy(cell, name) {
  if (name === reviewer && decisionChanges.has(cell.id)) return Boolean(decisionState(cell));
  return [picksFiles.get(cell.stage)?.entries.get(cell.id), ...othersOf(cell)].some((one) => one?.by === name);
}

/** The names that decisions carry, and that of the reader. */
function peopleNamed() {
  const names = new Set(reviewer ? [reviewer] : []);
  for (const { lines } of picksFiles.values()) for (const [, { by }] of lines) if (by) names.add(by);
  return [...names].sort();
}

/** In the filter of decisions: what is disputed, and by whom something is decided. */
function drawPeople() {
  const select = toolAt("decided");
  const names = peopleNamed();
  const isShared = [...picksFiles.values()].some(({ others }) => others.size);
  const id = JSON.stringify([names, isShared]);
  if (select.dataset.people === id) return;
  select.dataset.people = id;
  for (const option of select.querySelectorAll("[data-person]")) option.remove();
  const options = [...(isShared || view.decided === "disputed" ? [["disputed", "Disputed"]] : []), ...names.map((name) => [`${DECIDED_BY}${name}`, `Decided by ${name}`])];
  select.append(...options.map(([value, textContent]) => make("option", { value, textContent, "data-person": "" })));
}

/* What is shown of others. */

const shortVerdict = ({ rejected, stars }) => (rejected ? "✕" : stars ? `${stars}★` : "✓");

/** In a caption: what another has decided, how many more have, and whether they disagree. */
function otherMarks(cell) {
  const [first, ...more] = othersOf(cell);
  if (!first) return [];
  const name = make("span", { className: "other-name", textContent: `${nameSaid(first.by).split(" ")[0]} ` });
  const mark = make("span", { className: "other", title: othersSaid(cell) }, name, `${shortVerdict(first)}${more.length ? ` +${more.length}` : ""}`);
  const disputed = isDisputed(cell) ? [make("span", { className: "disputed", role: "img", "aria-label": "disputed", title: "disputed", textContent: "≠" })] : [];
  return [...disputed, mark];
}

/** In the panel: a line for each of the others. */
function showOthers(list, cell) {
  const disputed = isDisputed(cell) ? [make("li", { className: "disputed", textContent: "Disputed" })] : [];
  list.replaceChildren(...disputed, ...othersOf(cell).map((one) => make("li", { textContent: otherWords(one) })));
  list.hidden = !list.children.length;
}

/** On a compared picture: what each of the others has decided. */
function othersPlate(cell) {
  const others = othersOf(cell);
  if (!others.length) return [];
  const plate = make("ul", { className: "others panzoom-exclude", title: othersSaid(cell), "aria-label": "Decisions of others" });
  plate.append(...others.map((one) => make("li", {}, make("span", { className: "other-name", textContent: `${nameSaid(one.by)} ` }), shortVerdict(one))));
  plate.classList.toggle("disputed", isDisputed(cell));
  return [plate];
}

/* Who decides in this page. */

/** In a stage's header: how many cells are disputed, and under which name the page decides. */
function reviewerParts(stage) {
  const { others } = picksFiles.get(stage);
  const disputed = [...others.keys()].filter((id) => isOf(stage, id) && isDisputed(cellsById.get(id))).length;
  const parts = [];
  if (disputed) parts.push(summaryButton("disputed", `${disputed} disputed`, () => setView({ decided: view.decided === "disputed" ? "" : "disputed" })));
  if (page.form === "view") return reviewer ? [...parts, make("span", { className: "reviewer", textContent: `deciding as ${reviewer}` })] : parts;
  return [...parts, summaryButton("reviewer", reviewer ? `Deciding as ${reviewer}` : "Decide under a name", askReviewer)];
}

function setReviewer(name) {
  reviewer = speakable(name).replace(/\s+/gu, " ").replace(/\p{C}/gu, "").slice(0, LONGEST_NAME).trim();
  try {
    if (reviewer) localStorage.setItem(REVIEWER_STORE, reviewer);
    else localStorage.removeItem(REVIEWER_STORE);
  } catch {
    // Not remembered, but used.
  }
  for (const [stage, file] of picksFiles) picksFiles.set(stage, { ...file, ...sharedOut(file.lines) });
  dropFiled();
  tellDecisions(cells.map(({ index }) => index));
}

function askReviewer() {
  const field = make("input", { type: "text", value: reviewer, maxLength: LONGEST_NAME, autocomplete: "name", "aria-labelledby": "reviewer-title" });
  const save = make("button", { className: "action", textContent: "Save name" });
  const leave = make("button", { type: "button", className: "action", textContent: "Cancel" });
  const form = make("form", { method: "dialog" },
    make("h2", { id: "reviewer-title", textContent: "Your name" }), field,
    make("p", { className: "waits", textContent: "The picks file shows this name with your decisions. It keeps the decisions of other people." }),
    make("div", { className: "actions" }, save, leave));
  const dialog = make("dialog", { id: "reviewer-dialog", className: "asks", "aria-labelledby": "reviewer-title" }, form);
  form.addEventListener("submit", () => setReviewer(field.value));
  leave.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  field.select();
}
