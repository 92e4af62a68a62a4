/* Where the cells of a stage stand: lines with computed places, so that what is out of sight needs no element. */

const TALLEST = 1.25;

/** Columns are not so narrow that words of their heads break apart, if that takes no more than this. */
const WIDEST_WORD = 90;

/** Columns give way so far before the sheet scrolls sideways. */
const LEAST = 0.62;

/** The height of the line under the column heads that names the block which the window shows. */
const COVER = 28;

const average = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
const boundedBy = (least, number, most) => Math.max(least, Math.min(most, number));

/**
 * Lay a stage out. `indexes` are the cells to show, `pivot` the axes on rows and columns, `room` says {width, size,
 * narrow}; `ordered` keeps the cells in their order. Gives {columns, levels, lines, order, where, label, width, height}:
 * a line is a heading ({labels}) or has {label, places: [{index, at, x, width}], picture, top, height}.
 */
function arrange(stage, indexes, pivot, { room, ordered = false }) {
  const tables = (names) => names.map((name) => axisTable(stage, name));
  const plan = { stage, room: { ...room }, rows: tables(pivot.rows), columns: tables(pivot.columns), aside: tables(asideIn(stage, pivot)) };
  Object.assign(plan, spacesFor(room));
  plan.hasHeads = plan.rows.length + plan.columns.length > 0;
  const sorted = ordered ? indexes : inAxisOrder(plan.aside, indexes);
  const groups = groupsOf(plan.rows, sorted);
  plan.label = labelWidth(plan, groups);
  plan.room.inner = room.width - (plan.label && plan.label + plan.gap);
  const shape = plan.columns.length ? inColumns(plan, sorted, groups) : inFlow(plan, sorted, groups);
  return finished(plan, shape);
}

/** Small cells stand closer: `gap` between columns, `space` between lines, `flags` for the line of marks, `heading` over blocks. */
function spacesFor({ size, narrow }) {
  const gap = Math.round(boundedBy(6, size * 0.08, narrow ? 10 : 16));
  return { gap, space: Math.round(boundedBy(3, size * 0.05, 12)), flags: size < DENSE ? 0 : 20, heading: size < DENSE ? 10 : 30 };
}

/** One number for the places that a cell has on several axes; outer axes count more. */
function codeIn(tables, index) {
  let code = 0;
  for (const { values, at } of tables) code = code * values.length + at[index];
  return code;
}

function inAxisOrder(tables, indexes) {
  if (!tables.length) return indexes;
  const codes = new Map(indexes.map((index) => [index, codeIn(tables, index)]));
  return [...indexes].sort((one, other) => codes.get(one) - codes.get(other) || one - other);
}

/** Every combination of axes that has cells, in order, with its labels. */
function groupsOf(tables, indexes) {
  const found = new Map();
  for (const index of indexes) {
    const code = codeIn(tables, index);
    if (found.has(code)) found.get(code).push(index);
    else found.set(code, [index]);
  }
  const sorted = [...found].sort(([one], [other]) => one - other);
  return sorted.map(([code, members]) => ({ code, members, labels: tables.map((table) => labelIn(table, members[0])) }));
}

/** Row labels stand in a column of their own; in a narrow window above their line. */
function labelWidth({ rows, columns, room }, groups) {
  if (!rows.length || room.narrow) return 0;
  const names = [`${rows.at(-1).name} \u2193`, ...columns.map(({ name }) => `${name} \u2192`)];
  const widths = [...names, ...new Set(groups.map(({ labels }) => labels.at(-1)))].map((text) => widthOf(text, "head"));
  return Math.ceil(boundedBy(56, Math.max(...widths) / SAFE + 2, 168));
}

function inColumns(plan, indexes, groups) {
  const columns = groupsOf(plan.columns, indexes);
  const columnOf = new Int32Array(cells.length);
  columns.forEach(({ members }, at) => members.forEach((index) => (columnOf[index] = at)));
  placeColumns(plan, columns);
  const rows = groups.map((group) => {
    const slots = columns.map(() => []);
    for (const index of group.members) slots[columnOf[index]].push(index);
    return { ...group, lines: stackLines(slots, columns), picture: pictureHeight(plan, slots, columns) };
  });
  return { columns, rows };
}

/** A column is as wide as its ratios are on (geometric) average; the root of the mean keeps areas alike. */
function placeColumns(plan, columns) {
  const typical = columns.map(({ members }) => {
    const ratios = new Set(members.map((index) => ratioOf(cells[index])));
    return Math.max(0.4, Math.exp(average([...ratios].map(Math.log))));
  });
  const mean = average(typical);
  const widths = typical.map((width) => width / Math.sqrt(mean));
  const { size, inner } = plan.room;
  const fitting = (inner - plan.gap * (columns.length - 1)) / widths.reduce((sum, width) => sum + width, 0);
  plan.unit = Math.min(size, Math.max(fitting, size * LEAST));
  plan.average = average(widths);
  let x = plan.label && plan.label + plan.gap;
  columns.forEach((column, at) => {
    Object.assign(column, { x, wide: widths[at], width: columnWidth(plan, column, widths[at]) });
    x += column.width + plan.gap;
  });
}

function columnWidth({ unit }, { labels }, wide) {
  return Math.max(Math.floor(wide * unit), Math.min(WIDEST_WORD, longestWord(labels.at(-1), "head")));
}

/** A line is as high as its highest picture wants to be, but portraits among landscapes do not tower. */
function pictureHeight(plan, slots, columns) {
  const wanted = slots.flatMap((slot, at) => slot.map((index) => columns[at].wide / ratioOf(cells[index])));
  return Math.round(Math.min(Math.max(...new Set(wanted)), TALLEST / plan.average) * plan.unit);
}

/** Cells of one slot stand under each other, a line each. */
function stackLines(slots, columns) {
  const lines = [];
  slots.forEach((slot, at) => {
    slot.forEach((index, deep) => (lines[deep] ??= []).push({ index, at, x: columns[at].x, width: columns[at].width }));
  });
  return lines.map((places) => ({ places }));
}

/** Without columns the cells of a row follow each other, as high as each other, in as many lines as it takes. */
function inFlow(plan, indexes, groups) {
  const ratios = indexes.map((index) => Math.log(ratioOf(cells[index])));
  const picture = Math.round(plan.room.size / Math.sqrt(Math.exp(average(ratios.length ? ratios : [0]))));
  return { columns: null, rows: groups.map((group) => ({ ...group, lines: flowLines(plan, group.members, picture) })) };
}

function flowLines(plan, members, picture) {
  const start = plan.label && plan.label + plan.gap;
  const lines = [];
  let x = Infinity;
  for (const index of members) {
    const width = Math.min(plan.room.inner, Math.max(56, Math.round(picture * ratioOf(cells[index]))));
    if (x + width > plan.room.width) {
      lines.push({ places: [], picture: 0 });
      x = start;
    }
    const line = lines.at(-1);
    line.places.push({ index, at: line.places.length, x, width });
    line.picture = Math.max(line.picture, Math.min(picture, Math.round(width / ratioOf(cells[index]))));
    x += width + plan.gap;
  }
  return lines;
}

/** Stack rows and the headings of their blocks, and note where each cell has got to. */
function finished(plan, { columns, rows }) {
  const layout = { stage: plan.stage, columns, label: plan.label, narrow: plan.room.narrow, lines: [], order: [], where: new Map() };
  layout.levels = columns ? levelsOf(plan, columns) : [];
  layout.captioned = columns || plan.rows.length ? plan.aside : plan.stage.axes.map(({ name }) => axisTable(plan.stage, name));
  layout.hasHeads = plan.hasHeads;
  layout.rowAxis = plan.rows.at(-1)?.name ?? "";
  layout.width = columns?.length ? columns.at(-1).x + columns.at(-1).width : plan.room.width;
  layout.roomWidth = plan.room.width;
  layout.flags = plan.flags;
  layout.coverHeight = plan.rows.length > 1 || (plan.room.narrow && plan.rows.length) ? COVER : 0;
  layout.headHeight = layout.levels.reduce((sum, { height }) => sum + height, 0);
  let top = 0;
  let block = "";
  for (const row of rows) {
    const heading = row.labels.slice(0, -1);
    if (heading.length && heading.join("\n") !== block) top = addHeading(plan, layout, { heading, top });
    block = heading.join("\n");
    top = addLines(plan, layout, row, top);
  }
  layout.height = top;
  return layout;
}

function addHeading(plan, layout, { heading, top }) {
  const labels = heading.map((label, at) => ({ name: plan.rows[at].name, label }));
  const text = labels.map(({ name, label }) => `${name} ${label}`).join(" /  ");
  const height = plan.heading + textHeight(text, Math.min(plan.room.width, layout.width) * 0.9, "head");
  const start = top ? top + 12 : 0;
  layout.block = layout.lines.length;
  layout.lines.push({ labels, top: start, height, block: layout.block });
  return start + height;
}

function addLines(plan, layout, row, top) {
  const label = row.labels.at(-1) ?? "";
  const strap = label && plan.room.narrow ? textHeight(label, plan.room.width, "head") + 6 : 0;
  row.lines.forEach(({ places, picture }, deep) => {
    const line = { places, picture: row.picture ?? picture, top, label: deep ? "" : label, strap: deep ? 0 : strap, block: layout.block, group: label };
    const caption = Math.max(...places.map(({ index, width }) => textHeight(whatOf(layout, index), width, "caption")));
    line.caption = caption + plan.flags;
    const needed = deep || strap ? 0 : textHeight(label, plan.label, "head");
    line.height = line.strap + Math.max(6 + line.picture + line.caption, needed);
    top += line.height + plan.space;
    for (const { index } of places) {
      layout.where.set(index, layout.lines.length);
      layout.order.push(index);
    }
    layout.lines.push(line);
  });
  return top;
}

/** What a cell's caption says: its labels on the axes that no head names; nothing while the page is blind. */
function whatOf({ captioned, hasHeads }, index) {
  if (view.blind) return "";
  if (!captioned.length) return hasHeads ? "" : cells[index].id;
  return captioned.map((table) => labelIn(table, index)).join("\u00a0· ");
}

/** The column heads: a level for each axis, equal neighbours under one heading. */
function levelsOf(plan, columns) {
  return plan.columns.map(({ name }, level) => {
    const spans = [];
    columns.forEach(({ labels, x, width }, at) => {
      const path = labels.slice(0, level + 1).join("\n");
      const last = spans.at(-1);
      if (last?.path === path) Object.assign(last, { width: x + width - last.x, count: last.count + 1 });
      else spans.push({ path, label: labels[level], x, width, at, count: 1 });
    });
    const texts = plan.label ? cornerTexts(plan, level) : [];
    const corner = texts.reduce((sum, text) => sum + textHeight(text, plan.label, "head"), 0);
    const height = 8 + Math.max(corner, ...spans.map(({ label, width }) => textHeight(label, width, "head")));
    return { name, texts, spans, height };
  });
}

/** What stands before the column heads: which axis they are of, and at last that of the rows. */
function cornerTexts({ rows, columns }, level) {
  const across = `${columns[level].name} \u2192`;
  return level === columns.length - 1 ? [across, `${rows.at(-1).name} \u2193`] : [across];
}
