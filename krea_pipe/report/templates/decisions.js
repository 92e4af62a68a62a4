/* Decisions: what is picked, rejected or noted, by cell: the picks files, with the changes made in this page over them. */

const NO_DECISION = Object.freeze({ picked: false, rejected: false, stars: 0, note: "" });
const DECISION_STORE = `krea-pipe decisions ${report.pipeline.name}`;
const MOST_PAST = 500;

/**
 * By stage: {file, problem, lines, entries, others}. `lines` are all decisions of the file as [id, decision]; of each id,
 * `entries` holds the one that counts for the reader of this page, and `others` lists those of other people.
 */
const picksFiles = new Map();

/**
 * By id of a cell: {now, base, exported}. `base` is what the file said when the change was made, `exported` what the
 * last export said, or null.
 */
const decisionChanges = new Map();

/** What to go back to, newest last: lists of [cell's id, decision]. */
const pastDecisions = [];
const decisionListeners = [];
let decisionsKept = true;

/** Be told of cells whose decision has changed, by their indexes. */
function onDecisions(listener) {
  decisionListeners.push(listener);
}

/** What is decided about a cell: {picked, rejected, stars (0 to 5), note}. */
function decisionOf(cell) {
  return decisionChanges.get(cell.id)?.now ?? filedDecision(cell);
}

function filedDecision(cell) {
  return picksFiles.get(cell.stage)?.entries.get(cell.id) ?? NO_DECISION;
}

/** In one word: "picked", "rejected", or "". */
function decisionState(cell) {
  const { picked, rejected } = decisionOf(cell);
  return picked ? "picked" : rejected ? "rejected" : "";
}

const sameDecision = (a, b) => ["picked", "rejected", "stars", "note"].every((name) => a[name] === b[name]);

/** A decision as a picks file can hold it: a note alone is none. */
const filable = (decision) => (decision.picked || decision.rejected ? decision : NO_DECISION);

/** Whether a change is neither in the file nor exported. */
function isOutstanding(id, change) {
  return !sameDecision(filable(change.now), filable(change.exported ?? filedDecision(cellsById.get(id))));
}

/** The changes of a stage: [[cell's id, change], …]. */
function changesOf(stage) {
  return [...decisionChanges].filter(([id]) => cellsById.get(id).stage === stage);
}

/**
 * Decide about cells at once: {picked}, {rejected}, {stars} or {note}; stars pick, and a rejection takes picks and
 * stars away. One undo takes it back for all of them.
 */
function decideAbout(some, change) {
  const settle = some.map((cell) => ({ cell, before: decisionOf(cell), now: settled(decisionOf(cell), change) }));
  const changed = settle.filter(({ before, now }) => !sameDecision(before, now));
  if (!changed.length) return;
  remember(changed.map(({ cell, before }) => [cell.id, before]));
  for (const { cell, now } of changed) setDecision(cell, now);
  tellDecisions(changed.map(({ cell }) => cell.index));
}

const decide = (cell, change) => decideAbout([cell], change);

function settled(before, change) {
  const now = { ...before, ...change, note: speakable(change.note ?? before.note) };
  if (change.rejected) Object.assign(now, { picked: false, stars: 0 });
  else if (change.picked || change.stars) Object.assign(now, { picked: true, rejected: false, stars: change.stars ?? (before.picked ? before.stars : 0) });
  if (!now.picked && !now.rejected) now.stars = 0;
  return Object.freeze(now);
}

/** What YAML can hold: no control characters, no halves of a surrogate pair. */
function speakable(text) {
  return text.replace(/\r\n?/g, "\n").replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]|\p{Surrogate}/gu, "").trim();
}

function setDecision(cell, now) {
  const known = decisionChanges.get(cell.id);
  const filed = filedDecision(cell);
  const change = { now, base: known?.base ?? filed, exported: known?.exported ?? null };
  if (sameDecision(now, filed) && !change.exported) decisionChanges.delete(cell.id);
  else decisionChanges.set(cell.id, change);
}

function remember(list) {
  pastDecisions.push(list);
  if (pastDecisions.length > MOST_PAST) pastDecisions.shift();
}

/** Take the last decision back; the cells that it was about, by index. */
function undoDecision() {
  const list = pastDecisions.pop() ?? [];
  for (const [id, before] of list) setDecision(cellsById.get(id), before);
  const indexes = list.map(([id]) => cellsById.get(id).index);
  if (indexes.length) tellDecisions(indexes);
  return indexes;
}

/** Go back to what was exported last, else to what the file says. */
function discardChanges(stage) {
  const list = changesOf(stage);
  remember(list.map(([id, { now }]) => [id, now]));
  for (const [id, { exported }] of list) setDecision(cellsById.get(id), exported ?? filedDecision(cellsById.get(id)));
  tellDecisions(list.map(([id]) => cellsById.get(id).index));
}

/** The outstanding changes of a stage are in a file that the reader has now. */
function noteExport(stage) {
  for (const [id, change] of changesOf(stage)) {
    if (isOutstanding(id, change)) decisionChanges.set(id, { ...change, exported: filable(change.now) });
  }
  tellDecisions([]);
}

function tellDecisions(indexes) {
  storeChanges();
  for (const listener of decisionListeners) listener(indexes);
}

/** Take a picks file as it stands now: {file, picks, rejected, problem}. Changes that it says already are dropped. */
function takeDecisions(stage, state) {
  const members = cells.filter((cell) => cell.stage === stage);
  const before = members.map(decisionOf);
  const othersBefore = members.map(othersSaid);
  // A file that cannot be read says nothing: what it said before stays in sight.
  picksFiles.set(stage, state.problem ? { ...picksFiles.get(stage), problem: state.problem } : picksFile(stage, state));
  dropFiled();
  const isChanged = (cell, at) => !sameDecision(decisionOf(cell), before[at]) || othersSaid(cell) !== othersBefore[at];
  tellDecisions(members.filter(isChanged).map(({ index }) => index));
}

function picksFile(stage, state) {
  const line = (rejected) => ({ id, stars, note, key, by }) => [id, Object.freeze({ picked: !rejected, rejected, stars: stars ?? 0, note: note ?? "", key, by: by ?? "" })];
  const lines = [...(state.picks ?? []).map(line(false)), ...(state.rejected ?? []).map(line(true))];
  return { file: state.file ?? `picks/${stage}.yaml`, problem: state.problem ?? "", lines, ...sharedOut(lines) };
}

/** Drop what the file says already, and what was exported before somebody changed the file. */
function dropFiled() {
  for (const [id, change] of decisionChanges) {
    const filed = filedDecision(cellsById.get(id));
    const { now, base, exported } = change;
    const overtaken = exported && sameDecision(filable(now), exported) && !sameDecision(filed, base);
    if (sameDecision(now, filed) || overtaken) decisionChanges.delete(id);
    else if (exported && sameDecision(exported, filed)) decisionChanges.set(id, { now, base: filed, exported: null });
  }
}

/* The changes outlive the page in the browser's storage, under the pipeline's name: the next run's report finds them
   again, for each cell that still has the picture that they are about. */

const pictureMark = (cell) => cell.sha256 ?? cell.key;

function isOfThisRun({ id, about }) {
  const cell = cellsById.get(id);
  return Boolean(cell) && pictureMark(cell) === about;
}

function storedChanges() {
  try {
    const found = JSON.parse(localStorage.getItem(DECISION_STORE) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => one && typeof one.id === "string") : [];
  } catch {
    return [];
  }
}

function storeChanges() {
  const others = storedChanges().filter((one) => !isOfThisRun(one));
  const mine = [...decisionChanges].map(([id, change]) => ({ id, about: pictureMark(cellsById.get(id)), ...change }));
  try {
    if (others.length + mine.length) localStorage.setItem(DECISION_STORE, JSON.stringify([...others, ...mine]));
    else localStorage.removeItem(DECISION_STORE);
    decisionsKept = true;
  } catch {
    decisionsKept = !mine.length;
  }
}

function takeStored() {
  decisionChanges.clear();
  for (const one of storedChanges().filter(isOfThisRun)) {
    const [now, base, exported] = [one.now, one.base, one.exported].map(decisionFrom);
    if (now) decisionChanges.set(one.id, { now, base: base ?? NO_DECISION, exported });
  }
  dropFiled();
}

/** A decision that was stored, or null where it is none. */
function decisionFrom(data) {
  if (data === null || typeof data !== "object") return null;
  const stars = [1, 2, 3, 4, 5].includes(data.stars) ? data.stars : 0;
  return Object.freeze({ picked: data.picked === true, rejected: data.rejected === true, stars, note: typeof data.note === "string" ? data.note : "" });
}

/** Another tab with the same pipeline has changed decisions. */
function followStorage(event) {
  if (event.key !== DECISION_STORE) return;
  const before = cells.map(decisionOf);
  takeStored();
  const changed = cells.filter((cell, at) => !sameDecision(decisionOf(cell), before[at])).map(({ index }) => index);
  for (const listener of decisionListeners) listener(changed);
}

function startDecisions() {
  reviewer = storedReviewer() || page.reviewer || "";
  for (const { name } of report.stages) picksFiles.set(name, picksFile(name, page.decisions?.[name] ?? {}));
  takeStored();
  window.addEventListener("storage", followStorage);
  window.addEventListener("beforeunload", (event) => {
    if (!decisionsKept) event.preventDefault();
  });
  startDeciding();
  startPicks();
}
