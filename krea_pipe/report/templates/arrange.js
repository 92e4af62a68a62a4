const TALLEST = 1.25;

const keyOf = (value) => (value === undefined ? "" : JSON.stringify(value));

/** The values of an axis that cells of this stage use: in file order, then what the file does not list. */
function valuesInUse(axis, members) {
  const used = new Set(members.map((cell) => keyOf(cell.axes[axis.name])));
  const values = axis.values.map(({ value, label }) => ({ key: keyOf(value), label }));
  const known = new Set(values.map(({ key }) => key));
  for (const key of used) {
    if (!known.has(key)) values.push({ key, label: key === "" ? "–" : plain(JSON.parse(key)) });
  }
  return values.filter(({ key }) => used.has(key));
}

function labelOf(cell, axis) {
  const key = keyOf(cell.axes[axis.name]);
  const listed = axis.values.find(({ value }) => keyOf(value) === key);
  return listed ? listed.label : plain(cell.axes[axis.name]);
}

/** What tells a cell from its neighbours: its labels on the given axes. */
function nameOf(axes, cell) {
  return axes.map((axis) => labelOf(cell, axis)).join(" · ") || cell.id;
}

function average(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

function groupBy(members, keyFor) {
  const groups = new Map();
  for (const cell of members) {
    const key = keyFor(cell);
    if (groups.has(key)) groups.get(key).push(cell);
    else groups.set(key, [cell]);
  }
  return groups;
}

/** Every combination of the outer axes that has cells, in file order, with its labels. */
function combinations(axes, members) {
  let found = [{ labels: [], members }];
  for (const axis of axes) {
    found = found.flatMap(({ labels, members: inside }) => {
      const groups = groupBy(inside, (cell) => keyOf(cell.axes[axis.name]));
      return valuesInUse(axis, inside).map(({ key, label }) => ({
        labels: [...labels, { name: axis.name, label }],
        members: groups.get(key),
      }));
    });
  }
  return found;
}

/** Lay a stage out: blocks (super-rows) of lines (rows) of slots, each slot a list of cells. */
function arrange(stage, across) {
  const members = cells.filter((cell) => cell.stage === stage.name);
  const axes = [...stage.axes.filter(({ name }) => name !== across), ...stage.axes.filter(({ name }) => name === across)];
  if (axes.length < 2) return { axes, flow: flowOf(axes, members), blocks: [], members };
  const [rowAxis, columnAxis] = axes.slice(-2);
  const columns = valuesInUse(columnAxis, members);
  const blocks = combinations(axes.slice(0, -2), members).map((block) => ({
    labels: block.labels,
    lines: linesOf(block.members, rowAxis, columnAxis, columns),
  }));
  const widths = columnWidths(blocks, columns);
  for (const block of blocks) for (const line of block.lines) line.height = lineHeight(line, widths);
  return { axes, rowAxis, columnAxis, columns, widths, blocks, members };
}

function flowOf(axes, members) {
  if (!axes.length) return members;
  const groups = groupBy(members, (cell) => keyOf(cell.axes[axes[0].name]));
  return valuesInUse(axes[0], members).flatMap(({ key }) => groups.get(key));
}

function linesOf(members, rowAxis, columnAxis, columns) {
  const rows = groupBy(members, (cell) => keyOf(cell.axes[rowAxis.name]));
  return valuesInUse(rowAxis, members).map(({ key, label }) => {
    const slots = groupBy(rows.get(key), (cell) => keyOf(cell.axes[columnAxis.name]));
    return { label, slots: columns.map((column) => slots.get(column.key) ?? []) };
  });
}

/** A column is as wide as its ratios are on (geometric) average; the root of the mean keeps areas alike. */
function columnWidths(blocks, columns) {
  const typical = columns.map((_, at) => {
    const ratios = new Set(blocks.flatMap(({ lines }) => lines.flatMap(({ slots }) => slots[at].map(ratioOf))));
    return Math.max(0.4, Math.exp(average([...ratios].map(Math.log))));
  });
  const mean = average(typical);
  return typical.map((width) => width / Math.sqrt(mean));
}

/** A line is as high as its highest picture wants to be, but portraits among landscapes do not tower. */
function lineHeight(line, widths) {
  const wanted = line.slots.flatMap((slot, at) => slot.map((cell) => widths[at] / ratioOf(cell)));
  return Math.min(Math.max(...new Set(wanted)), TALLEST / average(widths));
}
