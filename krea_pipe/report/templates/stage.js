/* A stage's section: its header, the column heads, and the elements of lines. */

function startStage(stage) {
  const grid = make("div", { className: "grid", role: "grid", "aria-label": stage.name, "data-stage": stage.name });
  const heads = make("div", { className: "heads", role: "rowgroup" }, make("div", { className: "heads-inside", role: "presentation" }));
  const body = make("div", { className: "lines", role: "rowgroup" });
  const bar = make("div", { className: "across-bar", tabIndex: -1, "aria-hidden": "true" }, make("div"));
  const header = make("header", {}, make("h2", { textContent: stage.name }), make("p", { className: "count" }));
  const section = make("section", { className: "stage", "aria-label": stage.name, "data-stage": stage.name }, header, grid, bar);
  const here = make("div", { className: "here", hidden: true });
  grid.append(heads, make("div", { className: "here-place", role: "presentation", "aria-hidden": "true" }, here), body);
  document.getElementById("stages").append(section);
  const ratios = new Map(stageMembers.get(stage.name).map((index) => [index, ratioOf(cells[index])]));
  const sheet = { stage, section, header, grid, heads, here, body, bar, ratios, layout: null, lines: new Map(), nodes: new Map(), stop: undefined };
  sheets.set(stage.name, sheet);
  startShelves(sheet);
  followAcross(sheet);
}

/** Heads, lines and the bar at the window's lower edge scroll sideways together. */
function followAcross(sheet) {
  const { heads, body, bar } = sheet;
  const follow = (leader, ...others) => leader.addEventListener("scroll", () => {
    for (const other of others) if (Math.abs(other.scrollLeft - leader.scrollLeft) > 1) other.scrollLeft = leader.scrollLeft;
    drawSoon();
  }, { passive: true });
  follow(body, heads, bar);
  follow(bar, body);
  follow(heads, body);
}

function drawHeads({ layout, heads }) {
  const { levels, label, rowAxis, width } = layout;
  const inside = heads.firstElementChild;
  inside.style.width = `${width + 2 * INSET}px`;
  inside.replaceChildren(...levels.map((level, number) => {
    const row = make("div", { className: "head-row", role: "row", "aria-rowindex": number + 1 });
    row.style.height = `${level.height}px`;
    if (label) row.append(cornerNode(level, label));
    row.append(...level.spans.map((span) => headNode(span, level, rowAxis ? 1 : 0)));
    return row;
  }));
  inside.style.setProperty("--label-end", `${label && label + 8}px`);
}

function cornerNode({ texts }, width) {
  const corner = make("div", { className: "corner", role: "columnheader", "aria-colindex": 1 });
  corner.append(...texts.map((textContent) => make("span", { textContent })));
  corner.style.width = `${width}px`;
  return corner;
}

function headNode({ label, x, width, at, count }, level, before) {
  const text = make("span", { className: "head-text", textContent: label });
  const head = make("div", { className: "head", role: "columnheader", "aria-colindex": at + 1 + before, "data-axis": level.name }, text);
  if (count > 1) head.setAttribute("aria-colspan", count);
  head.style.left = `${x + INSET}px`;
  head.style.width = `${width}px`;
  text.style.maxWidth = `${width}px`;
  head.classList.toggle("spans", count > 1);
  return head;
}

/** The element of a line, without its cells. */
function lineNode({ layout }, number) {
  const line = layout.lines[number];
  const rowIndex = layout.levels.length + number + 1;
  const element = make("div", { className: line.places ? "line" : "line heading", role: "row", "aria-rowindex": rowIndex });
  element.style.top = `${line.top}px`;
  element.style.height = `${line.height}px`;
  element.style.width = `${layout.width}px`;
  if (!line.places) element.append(headingNode(layout, line));
  else if (line.label) element.append(rowLabelNode(layout, line));
  return { element, cells: new Set() };
}

function headingNode(layout, { labels }) {
  const text = make("span", { className: "heading-text" });
  text.append(...labels.flatMap(({ name, label }, at) => [
    ...(at ? [make("span", { className: "between", textContent: "/" })] : []),
    make("span", { className: "name", textContent: `${name} ` }),
    label,
  ]));
  text.style.maxWidth = `${Math.min(layout.roomWidth, layout.width)}px`;
  const span = columnCount(layout);
  return make("div", { className: "heading-cell", role: "rowheader", "aria-colspan": span, "aria-colindex": 1 }, text);
}

function rowLabelNode(layout, { label, strap, picture }) {
  const node = make("div", { className: strap ? "row-label strap" : "row-label", role: "rowheader", "aria-colindex": 1, "data-axis": layout.rowAxis });
  node.append(make("span", { textContent: label }));
  if (strap) node.style.maxWidth = `${layout.roomWidth}px`;
  else node.style.width = `${layout.label}px`;
  return node;
}

function startSheet() {
  for (const stage of report.stages) startStage(stage);
  startPivotKeys();
  startPrint();
  onView((now, before) => {
    if (LAYOUT_FIELDS.some((name) => now[name] !== before[name]) || !layoutDone) layOut();
    layoutDone = true;
    if (now.compare !== before.compare) redrawMarked(now.compare, before.compare);
  });
  onRows(rowsChanged);
  onDecisions(redrawCells);
  window.addEventListener("scroll", drawSoon, { passive: true });
  onceOpened(drawSoon);
  new ResizeObserver(resized).observe(document.getElementById("stages"));
  document.addEventListener("focusin", ({ target }) => {
    const node = target.closest?.(".grid .cell");
    if (node) takeTabStop(Number(node.dataset.index));
  });
  document.getElementById("stages").addEventListener("click", (event) => {
    const open = event.target.closest(".cell > .frame");
    if (open && !pressSelects(Number(open.parentElement.dataset.index), event)) setView({ cell: cells[Number(open.parentElement.dataset.index)].id });
  });
  document.addEventListener("click", followProblem);
}

const LAYOUT_FIELDS = ["pivots", "only", "statuses", "decided", "check", "search", "sort", "size", "same", "blind"];
let layoutDone = false;
let drawWaits = 0;
let drawnAt = 0;

/** The width of the sheets as they are laid out. */
let lastWidth = 0;

/** Draw before the next picture of the screen, once. */
function drawSoon() {
  drawWaits ||= requestAnimationFrame(() => {
    drawWaits = 0;
    scrollsFast = Math.abs(scrollY - drawnAt) > innerHeight / 2;
    drawnAt = scrollY;
    drawSheets(SCROLL_PATIENCE);
    if (scrollsFast) drawSoon();
    else loadPassedBy();
    scrollsFast = false;
  });
}

function resized([{ contentRect }]) {
  if (layoutDone && !isPrinting && Math.abs(contentRect.width - lastWidth) >= 1) layOut();
  else drawSoon();
}

function redrawMarked(now, before) {
  const ids = [...now, ...before].filter((id) => !now.includes(id) || !before.includes(id));
  redrawCells(ids.filter((id) => cellsById.has(id)).map((id) => cellsById.get(id).index));
}

function rowsChanged(indexes) {
  for (const index of indexes) {
    delete searchTexts[index];
    delete searchDigests[index];
  }
  redrawCells(indexes);
}

/** A link of the list of problems: its cell must not be filtered away. */
function followProblem(event) {
  const link = event.target.closest?.(".problems a[data-cell]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const { index } = cellsById.get(link.dataset.cell);
  if (!sheetOf(index).layout.where.has(index)) clearFilters();
  if (!sheetOf(index).layout.where.has(index)) setView({ same: true });
  revealCell(index, { focus: true });
}
