/* The view: all that a link to this page carries. It is replaced, never changed in place. */

const PLAIN_VIEW = Object.freeze({
  /** By stage: {rows: [axis, …], columns: [axis, …]}, outer axes first; a stage without an entry has its usual pivot. */
  pivots: {},
  /** By axis: the keys (keyOf) of the values that are shown; an axis without an entry shows all. */
  only: {},
  /** The statuses that are shown; empty: all. */
  statuses: [],
  /** Which decisions are shown: "", "picked", "rejected", "open", "disputed", "1" to "5" for at least so many stars, or "by:NAME". */
  decided: "",
  /** Which images are shown: "", those that do not pass any check ("failed"), or those that do not pass the check of a name. */
  check: "",
  search: "",
  /** "" is the pivot; else cells stand in one line, sorted by "time", "cost", "stars", "distance", "check.NAME" or "axis.NAME"; "-" turns it round. */
  sort: report.view?.sort ?? "",
  /** The side of a typical cell in CSS pixels; 0 chooses it by the window and the number of cells. */
  size: report.view?.size ?? 0,
  /** The axis whose ladder is shown, or ""; the axis that splits it, or ""; and whether it is measured from the first value. */
  ladder: "",
  ladderBy: "",
  ladderFirst: false,
  /** The id of the cell that is open, or "". */
  cell: "",
  /** The ids of the cells that are marked for comparison, at most MOST_COMPARED; `comparing` says that they are beside each other. */
  compare: [],
  comparing: false,
  /** How the compared pictures stand: "" is side by side, else "slider" or "flicker", which show two of them: `pair`. */
  compareAs: "",
  pair: [],
  /** The stage whose images are shown beside their drafts, or "". */
  drafts: "",
  /** The stage of which the page shows which values win, or "". */
  values: "",
  /** The seed of the order in which cells are shown without their names, or "". */
  blind: "",
  /** Whether pairs that are the same in both runs of a diff are shown. */
  same: false,
});

/** The key of cells that do not have an axis, in the address, where nothing at all says that no value is shown. */
const NO_VALUE = "-";

/** Rows and columns, in the address of a report whose author asks for an order. */
const NO_ORDER = "pivot";

let view = PLAIN_VIEW;
const viewListeners = [];

/** Be told of each change of the view: listener(view, before). */
function onView(listener) {
  viewListeners.push(listener);
}

/** Change some of the view; the address follows. */
function setView(change) {
  const before = view;
  view = { ...before, ...change };
  writeHash((view.cell && !before.cell) || (view.comparing && !before.comparing));
  for (const listener of viewListeners) listener(view, before);
}

/** What is opened can be left by the browser's way back; what is arranged is no step of its own. */
function writeHash(opens) {
  const hash = hashOf(view);
  if (hash === location.hash.slice(1)) return;
  const address = hash ? `#${hash}` : location.pathname + location.search;
  if (opens) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

/** A view as the text after "#": readable, and without what is as usual. */
function hashOf(whole) {
  // While the page is blind, the address does not name cells either.
  const one = whole.blind ? { ...whole, cell: "", compare: [], pair: [], comparing: false } : whole;
  const pairs = [];
  for (const [stage, { rows, columns }] of Object.entries(one.pivots)) {
    for (const [kind, axes] of [["rows", rows], ["columns", columns]]) {
      if (!axes.length) pairs.push([`${kind}.${stage}`, ""]);
      for (const axis of axes) pairs.push([`${kind}.${stage}`, axis]);
    }
  }
  for (const [axis, keys] of Object.entries(one.only)) {
    if (!keys.length) pairs.push([`only.${axis}`, ""]);
    for (const key of keys) pairs.push([`only.${axis}`, key || NO_VALUE]);
  }
  for (const name of ["statuses", "compare", "pair"]) for (const text of one[name]) pairs.push([name, text]);
  for (const name of ["decided", "check", "search", "ladder", "ladderBy", "cell", "compareAs", "drafts", "values", "blind"]) if (one[name]) pairs.push([name, one[name]]);
  if (one.sort !== PLAIN_VIEW.sort) pairs.push(["sort", one.sort || NO_ORDER]);
  if (one.size !== PLAIN_VIEW.size) pairs.push(["size", String(one.size)]);
  for (const name of ["comparing", "same", "ladderFirst"]) if (one[name]) pairs.push([name, "yes"]);
  return new URLSearchParams(pairs).toString();
}

/** The view that an address carries; what does not belong to this report is left out. */
function viewOf(hash) {
  const found = { ...PLAIN_VIEW, pivots: {}, only: {}, statuses: [], compare: [], pair: [] };
  for (const [name, text] of new URLSearchParams(hash)) readPair(found, name, text);
  found.compare = found.compare.slice(0, MOST_COMPARED);
  found.comparing &&= found.compare.length > 1;
  return found;
}

function readPair(found, name, text) {
  const [kind, rest] = [name.split(".", 1)[0], name.slice(name.indexOf(".") + 1)];
  if (kind === "rows" || kind === "columns") readAxis(found.pivots, kind, rest, text);
  else if (kind === "only" && isAxis(rest)) (found.only[rest] ??= []).push(...(text ? [text === NO_VALUE ? "" : text] : []));
  else if (name === "statuses") found.statuses.push(...(text in WORDS ? [text] : []));
  else if (name === "compare" || name === "pair") found[name].push(...(cellsById.has(text) ? [text] : []));
  else if (name === "cell") found.cell = cellsById.has(text) ? text : "";
  else if (name === "size") found.size = (Number(text) ? Math.min(480, Math.max(80, Number(text))) : PLAIN_VIEW.size);
  else if (["comparing", "same", "ladderFirst"].includes(name)) found[name] = text === "yes";
  else if (name === "decided") found.decided = DECIDED.includes(text) || text.startsWith(DECIDED_BY) ? text : "";
  else if (name === "check") found.check = text === "failed" || checkNames().includes(text) ? text : "";
  else if (name === "drafts" || name === "values") found[name] = stagesByName.has(text) ? text : "";
  else if (name === "sort") found.sort = text === NO_ORDER ? "" : orderNamed(text) ? text : PLAIN_VIEW.sort;
  else if (["search", "ladder", "ladderBy", "compareAs", "blind"].includes(name)) found[name] = text;
}

const DECIDED = ["picked", "rejected", "open", "disputed", "1", "2", "3", "4", "5"];
const isAxis = (name) => report.stages.some(({ axes }) => axes.some((axis) => axis.name === name));

function readAxis(pivots, kind, stage, axis) {
  const known = stagesByName.get(stage)?.axes ?? [];
  if (!stagesByName.has(stage) || (axis && !known.some(({ name }) => name === axis))) return;
  pivots[stage] ??= { rows: [], columns: [] };
  const taken = [...pivots[stage].rows, ...pivots[stage].columns];
  if (axis && !taken.includes(axis)) pivots[stage][kind].push(axis);
}

/** Follow the address: at the start, and when a link of this page is opened. */
function startState() {
  const follow = () => {
    const before = view;
    view = viewOf(location.hash.slice(1));
    for (const listener of viewListeners) listener(view, before);
  };
  window.addEventListener("hashchange", follow);
  follow();
}
