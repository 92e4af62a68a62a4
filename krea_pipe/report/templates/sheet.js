/* The contact sheet: a grid for each stage, of which only what is near the window has elements. */

const NEAR = 700;
const NEAR_ACROSS = 400;

/** For so many milliseconds lines are drawn in advance before the screen gets its turn. */
const PATIENCE = 8;

/** While one scrolls, what the window shows may take so many milliseconds a frame; the rest comes in the next. */
const SCROLL_PATIENCE = 16;

/** Lines begin so far inside their box, which would cut off what marks the focus; the same as in sheet.css. */
const INSET = 6;

/** By stage: {stage, section, header, grid, heads, body, bar, layout, lines, nodes, stop}; `stop` is the cell with the tab stop. */
const sheets = new Map();
let shownOrder = [];
let earlierOrder = [];
let isPrinting = false;

/** Whether one scrolls by more than half a window a frame: nothing is drawn in advance then. */
let scrollsFast = false;

/** The cell that has the focus while its element is moved about. */
let heldFocus = null;

/** The cells that are shown, by index, as they stand on the page. */
const shownCells = () => shownOrder;

const sheetOf = (index) => sheets.get(cells[index].stage);
const sheetTools = () => document.querySelector(".tools");

/** How much of the window's top the tools cover; measured when they change, not at every step. */
let toolsCover = 0;

function measureTools() {
  const tools = sheetTools();
  toolsCover = getComputedStyle(tools).position === "sticky" ? tools.offsetHeight : 0;
  style(document.documentElement, { tools: `${Math.max(0, toolsCover - 1)}px` });
}

/** The width of the sheets in the window, and whether that is a phone's. */
function sheetWidth() {
  const main = document.getElementById("stages");
  const width = main.clientWidth - 2 * parseFloat(getComputedStyle(main).paddingLeft);
  return { width, narrow: width < 560 };
}

function sheetRoom() {
  const { width, narrow } = isPrinting ? { width: PRINT_WIDTH, narrow: PRINT_WIDTH < 560 } : sheetWidth();
  return { width, narrow, sizeOf: (stage) => (isPrinting ? PRINT_SIZE : chosenSize(stage)) };
}

/** The size of the pictures of a stage: what the view says, else what fits; sorted cells have the usual size. */
const chosenSize = (stage) => view.size || fitOf(stage).size;

/** Lay everything out anew; what stands at the top of the window stays there. */
function layOut() {
  const hold = isPrinting ? null : holdPlace();
  heldFocus = focusedIndex();
  const room = sheetRoom();
  if (!isPrinting) lastWidth = room.width;
  const byStage = new Map(report.stages.map(({ name }) => [name, []]));
  for (const { stage, index } of filteredCells()) byStage.get(stage).push(index);
  for (const sheet of sheets.values()) layOutSheet(sheet, byStage.get(sheet.stage.name), room);
  earlierOrder = shownOrder;
  shownOrder = [...sheets.values()].flatMap(({ layout }) => layout.order);
  const nothing = document.getElementById("nothing");
  nothing.hidden = shownOrder.length > 0;
  nothing.textContent = isDiff && !filtersInUse() ? "The two runs are the same." : "No cell matches.";
  drawShown();
  if (hold) hold();
  drawSheets();
  if (heldFocus !== null) keepFocus(heldFocus);
  heldFocus = null;
}

function layOutSheet(sheet, indexes, room) {
  const sorted = orderNow() !== null;
  const pivot = sorted ? { rows: [], columns: [] } : pivotOf(sheet.stage);
  const size = room.sizeOf(sheet.stage);
  sheet.layout = arrange(sheet.stage, sorted ? sortCells(indexes, view.sort) : indexes, pivot, { room: { ...room, size }, ordered: sorted });
  sheet.section.hidden = indexes.length === 0;
  sheet.grid.classList.toggle("narrow", room.narrow);
  sheet.kept = sheet.nodes;
  sheet.nodes = new Map();
  for (const { element } of sheet.lines.values()) element.remove();
  sheet.lines.clear();
  if (!sheet.layout.where.has(sheet.stop)) sheet.stop = sheet.layout.order[0];
  drawHeads(sheet);
  fitSheet(sheet);
  drawShelves(sheet, indexes);
}

function fitSheet({ layout, grid, body, heads, bar }) {
  style(grid, { flags: `${layout.flags}px` });
  body.style.height = `${Math.max(0, layout.height)}px`;
  grid.setAttribute("aria-rowcount", layout.levels.length + layout.lines.length);
  grid.setAttribute("aria-colcount", columnCount(layout));
  const wide = layout.width > layout.roomWidth + 1 && !isPrinting;
  grid.classList.toggle("wide", wide);
  bar.hidden = !wide;
  bar.firstElementChild.style.width = `${layout.width + 2 * INSET}px`;
  heads.hidden = !layout.levels.length;
  grid.classList.toggle("dense", !layout.flags);
  style(grid, { heads: `${layout.headHeight}px` });
}

function columnCount({ columns, lines, rowAxis }) {
  const most = columns ? columns.length : Math.max(1, ...lines.map(({ places }) => places?.length ?? 0));
  return most + (rowAxis ? 1 : 0);
}

/** Give elements to what is near the window, and take them from what is not. */
function drawSheets(patience = Infinity) {
  for (const sheet of sheets.values()) {
    if (!sheet.section.hidden) drawSheet(sheet, patience);
  }
}

function drawSheet(sheet, patience = Infinity) {
  const { layout, body } = sheet;
  const top = -body.getBoundingClientRect().top;
  followWindow(sheet, top);
  showBlock(sheet, top);
  const near = isPrinting ? { from: -Infinity, to: Infinity } : { from: top - NEAR, to: top + innerHeight + NEAR };
  const wanted = new Set(linesNear(layout, near.from, near.to));
  if (layout.where.has(sheet.stop)) wanted.add(layout.where.get(sheet.stop));
  for (const number of [...sheet.lines.keys()]) if (!wanted.has(number)) dropLine(sheet, number);
  drawLines(sheet, [...wanted].sort((one, other) => one - other), { from: top, to: top + innerHeight }, patience);
  dropKept(sheet);
  setTabStop(sheet);
}

/** Elements of before a new layout that it has no use for. */
function dropKept(sheet) {
  for (const [index, node] of sheet.kept ?? []) if (!sheet.nodes.has(index)) releaseCell(node);
  sheet.kept = null;
}

/** What the window shows is drawn first; what is near it as time allows, and else in the next frame. */
function drawLines(sheet, wanted, window, patience) {
  const across = rangeAcross(sheet);
  const begun = performance.now();
  for (const isUrgent of [true, false]) {
    for (const number of wanted) {
      const { top, height, places } = sheet.layout.lines[number];
      const isSeen = (top + height > window.from && top < window.to) || places?.some(({ index }) => index === sheet.stop);
      if (Boolean(isSeen) !== isUrgent) continue;
      if (!isPrinting && !sheet.lines.has(number)) {
        if (!isUrgent && isOpening) continue;
        if (performance.now() - begun > (isUrgent ? patience : scrollsFast ? -1 : PATIENCE)) {
          drawSoon();
          continue;
        }
      }
      if (!sheet.lines.has(number)) sheet.lines.set(number, lineNode(sheet, number));
      fillLine(sheet, number, across);
    }
  }
  orderLines(sheet, wanted.filter((number) => sheet.lines.has(number)));
}

/** The tab stop of a grid that has not the focus is what the window shows first. */
function followWindow(sheet, top) {
  const { layout, grid } = sheet;
  if (heldFocus !== null || grid.contains(document.activeElement)) return;
  const from = top + toolsCover + layout.headHeight;
  const at = layout.lines[layout.where.get(sheet.stop)];
  if (!at || (at.top >= from && at.top < top + innerHeight)) return;
  const first = linesNear(layout, from, top + innerHeight).find((number) => layout.lines[number].places && layout.lines[number].top >= from);
  if (first !== undefined) sheet.stop = layout.lines[first].places[0].index;
}

/** Name the block that the window shows once its heading is out of sight; on a phone also its row. */
function showBlock({ layout, here }, top) {
  if (!here) return;
  const from = top + toolsCover + layout.headHeight;
  const [number] = isPrinting || !layout.coverHeight ? [] : linesNear(layout, from + 1, from + innerHeight);
  const line = layout.lines[number];
  const heading = layout.lines[line?.block];
  const parts = heading && heading.top + 8 < from ? heading.labels.map(({ label }) => label) : [];
  if (line?.places && layout.narrow && line.top < from) parts.push(line.group);
  const text = parts.filter(Boolean).join(" / ");
  if (here.textContent !== text) here.textContent = text;
  here.hidden = !text;
}

/** The numbers of the lines between two heights. */
function linesNear({ lines }, from, to) {
  let [low, high] = [0, lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lines[middle].top + lines[middle].height < from) low = middle + 1;
    else high = middle;
  }
  const found = [];
  for (let number = low; number < lines.length && lines[number].top <= to; number += 1) found.push(number);
  return found;
}

function rangeAcross({ layout, body }) {
  if (isPrinting || layout.width <= layout.roomWidth * 1.5) return { from: -Infinity, to: Infinity };
  return { from: body.scrollLeft - NEAR_ACROSS, to: body.scrollLeft + layout.roomWidth + NEAR_ACROSS };
}

function dropLine(sheet, number) {
  const { element, cells: drawn } = sheet.lines.get(number);
  element.remove();
  for (const index of drawn) dropCell(sheet, index);
  sheet.lines.delete(number);
}

function orderLines({ body, lines }, wanted) {
  let next = body.firstElementChild;
  for (const number of wanted) {
    const { element } = lines.get(number);
    if (element === next) next = next.nextElementSibling;
    else body.insertBefore(element, next);
  }
}

/** Cells of a line: those within the range, and the one with the tab stop. */
function fillLine(sheet, number, { from, to }) {
  const line = sheet.layout.lines[number];
  if (!line.places) return;
  const drawn = sheet.lines.get(number);
  const wanted = new Set();
  for (const place of line.places) {
    if ((place.x + place.width < from || place.x > to) && place.index !== sheet.stop) continue;
    wanted.add(place.index);
    if (!drawn.cells.has(place.index)) drawn.element.append(drawCell(sheet, place, line));
  }
  for (const index of drawn.cells) if (!wanted.has(index)) dropCell(sheet, index);
  drawn.cells = wanted;
}

function drawCell(sheet, place, line) {
  const node = sheet.kept?.get(place.index) ?? cellNode(place.index);
  sheet.nodes.set(place.index, node);
  placeCell(node, place, line, sheet.layout);
  fillCell(node, sheet.layout);
  return node;
}

function dropCell(sheet, index) {
  const node = sheet.nodes.get(index);
  if (node) releaseCell(node);
  sheet.nodes.delete(index);
}

/** One tab stop a grid: the last cell that had the focus, which is always drawn. */
function setTabStop({ nodes, stop }) {
  for (const [index, node] of nodes) node.firstElementChild.tabIndex = index === stop ? 0 : -1;
}

/** Show cells anew whose row, decision or marks have changed. */
function redrawCells(indexes) {
  if (indexes.some(movesCell)) {
    layOut();
    return;
  }
  for (const index of indexes) {
    const sheet = sheetOf(index);
    const node = sheet.nodes.get(index);
    if (node) fillCell(node, sheet.layout);
  }
  for (const sheet of new Set(indexes.map(sheetOf))) drawCount(sheet, sheet.layout.order);
}

/** Whether a change of a cell can move cells about: its picture has another shape, or the order or the filter read it. */
function movesCell(index) {
  if (view.decided || view.check || view.statuses.length || /^-?(stars|time|cost|distance|check\..*)$/.test(view.sort)) return true;
  const { layout, ratios } = sheetOf(index);
  const before = ratios.get(index);
  ratios.set(index, ratioOf(cells[index]));
  return layout.where.has(index) && before !== ratios.get(index);
}
