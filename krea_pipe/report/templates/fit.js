/* The first view of a stage: its pivot and the size of its pictures, chosen by the window and the number of cells. */

/** A page of many cells should not be longer than so many windows, without what stands above and below the sheets. */
const MOST_WINDOWS = 6.6;

/** So many squares stand beside each other in a stage that is short enough with large pictures. */
const BESIDE = 7;
const USUAL_SIZE = 260;
const USUAL_SIZE_NARROW = 160;
const LEAST_SIZE = 80;
/** The smallest pictures may shrink by this factor to stand beside each other. */
const LEAST_SHARE = 0.75;

/** Below this size marks stand on the pictures, and headings are closer. */
const DENSE = 130;

/** Columns in the order of the file are easier to read: others must offer pictures that are larger by this factor. */
const ORDERED_BONUS = 1.1;

const fits = new Map();

/** {rows, columns, size} of a stage as it opens: what the author of the pipeline says, else what fits the window. */
function fitOf(stage) {
  const { width, narrow } = sheetWidth();
  const id = `${stage.name}\n${width}\n${innerHeight}`;
  if (!fits.has(id)) fits.set(id, fitIn(stage, { width, narrow }));
  return fits.get(id);
}

function usualPivot(stage) {
  const { rows, columns } = saidPivot(stage) ?? fitOf(stage);
  return { rows, columns };
}

/** The pivot that the pipeline's author asks for, of the axes that the stage has; null where that says nothing. */
function saidPivot(stage) {
  const names = axisNames(stage);
  const [rows, columns] = [report.view?.rows, report.view?.columns].map((said) => said?.filter((name) => names.includes(name)));
  if (!rows?.length && !columns?.length) return null;
  const rest = (taken) => names.filter((name) => !taken.includes(name));
  return { rows: rows ?? rest(columns), columns: columns ?? rest(rows) };
}

function fitIn(stage, room) {
  const usual = room.narrow ? USUAL_SIZE_NARROW : USUAL_SIZE;
  const members = stageMembers.get(stage.name);
  const limit = Math.max(2, (MOST_WINDOWS * members.length) / cells.length) * innerHeight;
  const plain = { ...plainPivot(stage), size: usual };
  const said = saidPivot(stage);
  if (said) return sized(stage, said, { ...room, usual, limit });
  if (!members.length || measuredPivot(stage, plain, room).height(usual) <= limit) return inWidth(stage, plain, { ...room, usual, limit });
  const choices = pivotsOf(stage).map((pivot) => sized(stage, pivot, { ...room, usual, limit }));
  const best = choices.reduce((found, one) => (one.score > found.score ? one : found), { ...plain, score: 0 });
  if (best.isShort) return best;
  const flow = sized(stage, { rows: [], columns: [] }, { ...room, usual, limit }); // harder to compare, with captions
  return flow.isShort ? flow : best;
}

/** The pivot; with smaller pictures where that keeps its columns in the window. */
function inWidth(stage, pivot, room) {
  const measured = measuredPivot(stage, pivot, room);
  const isWide = (size) => measured.width(size) > room.width;
  if (!pivot.columns.length || !isWide(pivot.size * LEAST) || isWide(LEAST_SIZE)) return pivot;
  return sized(stage, pivot, room);
}

/** Axes from the last one on are on the columns while these fit, the others on the rows; one axis alone flows. */
function plainPivot(stage) {
  const names = axisNames(stage);
  if (names.length < 2) return { rows: [], columns: [] };
  const rows = [...names];
  const columns = [];
  let width = averageRatio(stage);
  while (rows.length > 1) {
    width *= axisTable(stage, rows.at(-1)).values.length;
    if (columns.length && width > BESIDE) break;
    columns.unshift(rows.pop());
  }
  return { rows, columns };
}

/** The names of the axes in the order of the file; the runs of a diff stand beside each other. */
function axisNames(stage) {
  const names = stage.axes.map(({ name }) => name);
  return names.includes("run") ? [...names.filter((name) => name !== "run"), "run"] : names;
}

const averageRatios = new Map();

/** The average shape of the pictures of a stage, as the page opens. */
function averageRatio({ name }) {
  if (!averageRatios.has(name)) averageRatios.set(name, average(stageMembers.get(name).map((index) => ratioOf(cells[index]))));
  return averageRatios.get(name);
}

/** Every way to put the last axis and some of the others on the columns, at least one on the rows. */
function pivotsOf(stage) {
  const names = axisNames(stage);
  if (names.length < 2) return [{ rows: [], columns: [] }];
  const [others, last] = [names.slice(0, -1).slice(-7), names.at(-1)];
  const outer = names.slice(0, -1).slice(0, -7);
  const found = [];
  for (let chosen = 0; chosen < 2 ** others.length - 1 + (outer.length ? 1 : 0); chosen += 1) {
    const columns = others.filter((_, at) => chosen & (1 << at));
    found.push({ rows: [...outer, ...others.filter((name) => !columns.includes(name))], columns: [...columns, last] });
  }
  return found;
}

/** A pivot with the largest pictures that keep to the window's width and the limit of height, and how good that is. */
function sized(stage, pivot, room) {
  const { width, height } = measuredPivot(stage, pivot, room);
  const isWide = (size) => width(size) * (size > LEAST_SIZE ? 1 : LEAST_SHARE) > room.width;
  let filling = room.usual;
  while (filling > LEAST_SIZE && isWide(filling)) filling -= 2;
  let size = filling;
  while (size > LEAST_SIZE && height(size) > room.limit) size -= 2;
  if (height(size) > room.limit) size = Math.min(filling, DENSE); // too long in any case: the pictures fill the width
  const names = axisNames(stage);
  const isOrdered = names.slice(names.length - pivot.columns.length).join("\n") === pivot.columns.join("\n");
  const shortness = room.limit / height(size);
  const score = size * Math.min(shortness, Math.sqrt(shortness)) * (isOrdered ? ORDERED_BONUS : 1);
  return { ...pivot, size, score: isWide(size) ? score / 100 : score, isShort: shortness >= 1 };
}

const combinations = (stage, names) => Math.min(stageMembers.get(stage.name).length, names.reduce((count, name) => count * axisTable(stage, name).values.length, 1));

function labelOfPivot(stage, { rows, columns }, { narrow }) {
  const tables = [rows, columns].map((names) => names.map((name) => axisTable(stage, name)));
  const labels = rows.length ? tables[0].at(-1).values.map(({ label }) => ({ labels: [label] })) : [];
  return labelWidth({ rows: tables[0], columns: tables[1], room: { narrow } }, labels);
}

/** The functions that say how wide and about how tall a stage is, by the size of its pictures. */
function measuredPivot(stage, { rows, columns }, room) {
  const { narrow } = room;
  const ratio = averageRatio(stage);
  const label = labelOfPivot(stage, { rows, columns }, room);
  const words = columns.length ? axisTable(stage, columns.at(-1)).values.map((value) => longestWord(value.label, "head")) : [0];
  const word = Math.min(WIDEST_WORD, Math.max(...words));
  const across = combinations(stage, columns);
  const down = combinations(stage, rows);
  const blocks = rows.length > 1 ? combinations(stage, rows.slice(0, -1)) : 0;

  const width = (size) => {
    const { gap } = spacesFor({ size, narrow });
    return (label && label + gap) + across * (Math.max(size * Math.sqrt(ratio), word) + gap) - gap;
  };
  const height = (size) => {
    const { gap, space, flags, heading } = spacesFor({ size, narrow });
    const perLine = Math.max(1, Math.floor((room.width - label + gap) / (size * Math.sqrt(ratio) + gap)));
    const shrunk = columns.length ? Math.min(1, room.width / Math.max(1, width(size))) : 1;
    const lines = columns.length ? down : Math.ceil(stageMembers.get(stage.name).length / perLine);
    const picture = Math.max(LEAST, shrunk) * (size / Math.sqrt(ratio)) + (columns.length ? 0 : 17);
    return lines * (6 + picture + flags + space + (narrow && rows.length ? 24 : 0)) + blocks * (heading + 30);
  };
  return { width, height };
}
