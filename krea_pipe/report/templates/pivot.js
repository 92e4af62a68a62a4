/* Which axis stands where, and the values of axes as numbers: in the order of the file. */

const axisTables = new Map();
const stageMembers = new Map(report.stages.map(({ name }) => [name, []]));

for (const cell of cells) stageMembers.get(cell.stage)?.push(cell.index);

/** Of an axis of a stage: the values in use, and for each cell (by its index) the place of its own among them. */
function axisTable(stage, name) {
  const id = `${stage.name}\n${name}`;
  if (!axisTables.has(id)) axisTables.set(id, readAxisTable(stage, name));
  return axisTables.get(id);
}

function readAxisTable(stage, name) {
  const axis = stage.axes.find((one) => one.name === name);
  const members = stageMembers.get(stage.name);
  const keys = members.map((index) => keyOf(cells[index].axes[name]));
  const values = valuesAmong(axis, new Set(keys));
  const places = new Map(values.map(({ key }, place) => [key, place]));
  const at = new Int32Array(cells.length);
  members.forEach((index, place) => (at[index] = places.get(keys[place])));
  return { name, values, at };
}

const labelIn = (table, index) => table.values[table.at[index]].label;

const pivotOf = (stage) => view.pivots[stage.name] ?? usualPivot(stage);

/** The axes that are on no shelf: their cells stand together. */
function asideIn(stage, { rows, columns }) {
  return stage.axes.map(({ name }) => name).filter((name) => !rows.includes(name) && !columns.includes(name));
}

/** Give a stage a pivot; the usual one needs no place in the address. */
function setPivot(stage, pivot) {
  const pivots = { ...view.pivots };
  if (JSON.stringify(pivot) === JSON.stringify(usualPivot(stage))) delete pivots[stage.name];
  else pivots[stage.name] = pivot;
  setView({ pivots, sort: "" });
}

/** Put an axis on a shelf ("rows", "columns", "aside") at a place; without one at the inner end. */
function moveAxis(stage, name, shelf, place = Infinity) {
  const pivot = pivotOf(stage);
  const moved = { rows: pivot.rows.filter((one) => one !== name), columns: pivot.columns.filter((one) => one !== name) };
  if (shelf !== "aside") moved[shelf].splice(place, 0, name);
  setPivot(stage, moved);
}

function swapShelves(stage) {
  const { rows, columns } = pivotOf(stage);
  setPivot(stage, { rows: columns, columns: rows });
}
