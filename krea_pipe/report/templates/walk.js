/* Walking about the sheet: from cell to cell along the axes, and to a cell from anywhere. */

function focusedIndex() {
  const node = document.activeElement?.closest?.(".grid .cell");
  return node ? Number(node.dataset.index) : null;
}

/** The cell beside another: along its line, or in the same column of the next line that has one there. */
function neighbourOf(index, across, down) {
  const { layout } = sheetOf(index);
  const number = layout.where.get(index);
  if (number === undefined) return survivorOf(index, across || down);
  const { places } = layout.lines[number];
  const at = places.findIndex((place) => place.index === index);
  if (across) return places[at + across]?.index ?? (layout.columns ? undefined : layout.order[layout.order.indexOf(index) + across]);
  for (let next = number + down; layout.lines[next]; next += down) {
    const found = layout.lines[next].places && below(layout, layout.lines[next].places, places[at]);
    if (found) return found.index;
  }
  return undefined;
}

function below({ columns }, places, from) {
  if (columns) return places.find(({ at }) => at === from.at);
  const off = (place) => Math.abs(place.x + place.width / 2 - from.x - from.width / 2);
  return places.reduce((best, place) => (off(place) < off(best) ? place : best));
}

/** What stands next to a cell that was shown before the last change, and no longer is. */
function survivorOf(index, way = 1) {
  const shown = new Set(shownOrder);
  const from = earlierOrder.indexOf(index);
  for (let at = from; from >= 0 && at >= 0 && at < earlierOrder.length; at += way < 0 ? -1 : 1) {
    if (shown.has(earlierOrder[at])) return earlierOrder[at];
  }
  return undefined;
}

/** After a change: the same cell has the focus again, or what has come to its place. */
function keepFocus(index) {
  const next = sheetOf(index).layout.where.has(index) ? index : survivorOf(index, 1) ?? survivorOf(index, -1);
  if (next === undefined) document.getElementById("search").focus({ preventScroll: true });
  else if (next !== index) revealCell(next, { focus: true });
  else focusCell(next);
}

function focusCell(index) {
  takeTabStop(index);
  sheetOf(index).nodes.get(index)?.firstElementChild.focus({ preventScroll: true });
}

function takeTabStop(index) {
  const sheet = sheetOf(index);
  sheet.stop = index;
  setTabStop(sheet);
}

/** Scroll to a cell, no further than needed; `centre` puts it into the middle of the window. */
function revealCell(index, { focus = false, centre = focus && !isNearWindow(index) } = {}) {
  const sheet = sheetOf(index);
  const number = sheet.layout.where.get(index);
  if (number === undefined) return;
  const line = sheet.layout.lines[number];
  const place = line.places.find((one) => one.index === index);
  sheet.stop = index;
  scrollAcross(sheet, place);
  scrollDown(sheet, line, centre);
  drawSheet(sheet);
  if (focus) focusCell(index);
}

function isNearWindow(index) {
  const { layout, body } = sheetOf(index);
  const line = layout.lines[layout.where.get(index)];
  const top = line ? body.getBoundingClientRect().top + line.top : 0;
  return top > -2 * innerHeight && top < 2 * innerHeight;
}

function scrollAcross({ layout, body, heads, bar }, { x, width }) {
  const start = x <= layout.label + 16 ? 0 : x - (layout.label && layout.label + 8);
  const end = x + width + 2 * INSET + 8;
  if (start < body.scrollLeft) body.scrollLeft = start;
  else if (end > body.scrollLeft + body.clientWidth) body.scrollLeft = end - body.clientWidth;
  heads.scrollLeft = body.scrollLeft;
  bar.scrollLeft = body.scrollLeft;
}

function scrollDown({ body, layout }, line, centre) {
  const top = body.getBoundingClientRect().top + line.top;
  const from = toolsCover + layout.headHeight + layout.coverHeight + 4;
  const to = innerHeight - 20;
  const room = to - from;
  let by = 0;
  if (centre) by = top - from - Math.max(0, (room - line.height) / 2);
  else if (top < from || line.height > room) by = top - from;
  else if (top + line.height > to) by = top + line.height - to;
  if (by) window.scrollBy({ top: by, behavior: "instant" });
}

/** Remember what stands at the window's top; the result puts it back there after a change. */
function holdPlace() {
  const covered = toolsCover;
  for (const sheet of sheets.values()) {
    if (!sheet.layout || sheet.section.hidden) continue;
    if (sheet.section.getBoundingClientRect().bottom <= covered) continue;
    const { top, bottom } = sheet.header.getBoundingClientRect();
    return bottom > covered ? () => holdAt(sheet.header, top) : holdLine(sheet, covered);
  }
  return null;
}

function holdAt(element, top) {
  const by = element.getBoundingClientRect().top - top;
  if (element.isConnected && element.offsetParent && Math.abs(by) >= 1) window.scrollBy({ top: by, behavior: "instant" });
}

function holdLine(sheet, covered) {
  const top = sheet.body.getBoundingClientRect().top;
  const from = covered + sheet.layout.headHeight - top;
  const { lines, order } = sheet.layout;
  const number = linesNear(sheet.layout, from, Infinity).find((one) => lines[one].places);
  if (number === undefined) return null;
  const first = order.indexOf(lines[number].places[0].index);
  const before = top + lines[number].top;
  return () => {
    const held = order.slice(first).find((index) => sheet.layout.where.has(index));
    if (held === undefined) return;
    const line = sheet.layout.lines[sheet.layout.where.get(held)];
    const by = sheet.body.getBoundingClientRect().top + line.top - before;
    if (Math.abs(by) >= 1) window.scrollBy({ top: by, behavior: "instant" });
  };
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Where a key leads from a cell; undefined where there is nothing. */
function cellAfterKey(index, key, far) {
  if (key in STEPS) return neighbourOf(index, ...STEPS[key]);
  const { layout } = sheetOf(index);
  const { places, top } = layout.lines[layout.where.get(index)];
  if (key === "Home") return far ? layout.order[0] : places[0].index;
  if (key === "End") return far ? layout.order.at(-1) : places.at(-1).index;
  return pageAfter(layout, index, { top, way: key === "PageUp" ? -1 : 1 });
}

/** A window further up or down in the same column, or as far as it goes. */
function pageAfter(layout, index, { top, way }) {
  let found;
  for (let next = neighbourOf(index, 0, way); next !== undefined; next = neighbourOf(next, 0, way)) {
    found = next;
    if (Math.abs(layout.lines[layout.where.get(next)].top - top) > innerHeight * 0.8) break;
  }
  return found;
}

function moveFocus(event) {
  const index = focusedIndex();
  if (index === null || !event.target.closest(".grid") || isTyping(event.target)) return false;
  const next = cellAfterKey(index, event.key, event.ctrlKey || event.metaKey);
  if (next !== undefined) revealCell(next, { focus: true, centre: false });
  return true;
}

function startPivotKeys() {
  bindKeys(Object.keys(STEPS), "move along the axes", (_, event) => moveFocus(event));
  bindKeys(["Home", "End"], "first or last cell of a line; with Ctrl, of the stage", (_, event) => moveFocus(event));
  bindKeys(["PageUp", "PageDown"], "move by one screen", (_, event) => moveFocus(event));
  document.getElementById("stages").addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || (event.key !== "Home" && event.key !== "End")) return;
    if (moveFocus(event)) event.preventDefault();
  });
}
