/* Which cells are shown, and in which order. */

/** By index of a cell, as far as it was searched. */
const searchTexts = [];
const searchDigests = [];

/** Only a long word is looked up in digests, where a short one would always be found. */
const DIGEST_WORD = 6;

function searchTextOf({ id, prompt }) {
  return `${id}\n${prompt}`.toLowerCase();
}

function searchDigestOf({ job_id, key, sha256 }) {
  return `${job_id ?? ""}\n${key}\n${sha256 ?? ""}`.toLowerCase();
}

/** The cells that the view shows, in the order of the file. */
function filteredCells() {
  const test = filterOf(view);
  return cells.filter(test);
}

function filterOf({ only, statuses, decided, check, search, same }) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = Object.entries(only).map(([name, keys]) => [name, new Set(keys)]);
  return (cell) =>
    (same || !cell.same) &&
    (!statuses.length || statuses.includes(cell.status)) &&
    chosen.every(([name, keys]) => !hasAxis(cell, name) || keys.has(keyOf(cell.axes[name]))) &&
    words.every((word) => hasWord(cell.index, word)) &&
    (!check || failsCheck(cell, check)) &&
    (!decided || isDecided(cell, decided));
}

/** A filter on an axis leaves the stages alone that do not have it. */
const hasAxis = (cell, name) => axesOf(cell).some((axis) => axis.name === name);

function hasWord(index, word) {
  searchTexts[index] ??= searchTextOf(cells[index]);
  if (searchTexts[index].includes(word)) return true;
  return word.length >= DIGEST_WORD && (searchDigests[index] ??= searchDigestOf(cells[index])).includes(word);
}

function isDecided(cell, wanted) {
  const { picked, rejected, stars } = countedDecision(cell);
  if (wanted === "disputed") return isDisputed(cell);
  if (wanted.startsWith(DECIDED_BY)) return isDecidedBy(cell, wanted.slice(DECIDED_BY.length));
  if (wanted === "picked") return picked;
  if (wanted === "rejected") return rejected;
  if (wanted === "open") return !picked && !rejected;
  return !rejected && Math.floor(stars + 0.5) >= Number(wanted);
}

/** How many things narrow the sheet down; folded pairs are not among them. */
function filtersInUse({ only, statuses, decided, check, search } = view) {
  return Object.keys(only).length + (statuses.length ? 1 : 0) + (decided ? 1 : 0) + (check ? 1 : 0) + (search.trim() ? 1 : 0);
}

function clearFilters() {
  setView({ only: {}, statuses: [], decided: "", check: "", search: "" });
}

/** Show only some of the values that a stage has of an axis; what only other stages have stays as it is. */
function filterAxis(name, keys, all) {
  const here = new Set(all.map(({ key }) => key));
  const owners = report.stages.filter(({ axes }) => axes.some((axis) => axis.name === name));
  const everywhere = [...new Set(owners.flatMap((stage) => axisTable(stage, name).values.map(({ key }) => key)))];
  const shown = everywhere.filter((key) => (here.has(key) ? keys.includes(key) : isValueShown(name, key)));
  const only = { ...view.only };
  if (shown.length === everywhere.length) delete only[name];
  else only[name] = shown;
  setView({ only });
}

/** What is compared for an order, and the two directions in words; what has no value stands last in both. */
const ORDERS = {
  time: { name: "Time", of: ({ timings }) => timings.finished_at ?? null, ways: ["first done first", "last done first"] },
  cost: { name: "Cost", of: ({ cost_usd }) => -Number(cost_usd), ways: ["highest first", "lowest first"] },
  stars: { name: "Stars", of: (cell) => -countedDecision(cell).stars, ways: ["most first", "fewest first"] },
  distance: { name: "Distance", of: ({ distance }) => (distance === undefined || distance === null ? null : -distance), ways: ["largest first", "smallest first"] },
};

function orderNamed(sort) {
  const name = sort.replace(/^-/, "");
  if (Object.hasOwn(ORDERS, name)) return ORDERS[name];
  const check = name.startsWith("check.") ? name.slice("check.".length) : "";
  if (check) return checkNames().includes(check) ? { name: check, of: (cell) => checkValue(cell, check), ways: ["lowest first", "highest first"] } : null;
  if (!name.startsWith("axis.")) return null;
  const axis = name.slice("axis.".length);
  const of = ({ stage, index }) => {
    const owner = stagesByName.get(stage);
    return owner.axes.some((one) => one.name === axis) ? axisTable(owner, axis).at[index] : null;
  };
  return report.stages.some(({ axes }) => axes.some((one) => one.name === axis)) ? { name: axis, of, ways: ["in order", "reversed"] } : null;
}

/** The order in which cells are shown; null for the pivot. */
const orderNow = (sort = view.sort) => (view.blind ? BLIND_ORDER : orderNamed(sort));

/** Put cells in the order of a sort; those of a pair of runs stay together. */
function sortCells(indexes, sort) {
  const order = orderNow(sort);
  const way = sort.startsWith("-") && !view.blind ? -1 : 1;
  const values = new Map(indexes.map((index) => [index, order.of(cells[index])]));
  return [...indexes].sort((one, other) => {
    const [a, b] = [values.get(one), values.get(other)];
    if (a !== b && (a === null || b === null)) return a === null ? 1 : -1;
    if (a !== b) return (a < b ? -1 : 1) * way;
    return (cells[one].pair ?? "") < (cells[other].pair ?? "") ? -1 : (cells[one].pair ?? "") > (cells[other].pair ?? "") ? 1 : one - other;
  });
}
