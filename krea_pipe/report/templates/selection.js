/* Selecting cells: what is decided by key is decided about all of them at once. */

/** The indexes of the selected cells; only cells that are shown are selected. */
const selection = new Set();
/** From which cell a range reaches, and what was selected when it began. */
let selectionFrom = null;
let selectionBefore = [];

const selectedCells = () => [...selection].map((index) => cells[index]);

/** The cells that a key decides about: the one that is open or in hand, else the selected ones, else the one with the focus. */
function decidedCells(cell) {
  const isAlone = view.comparing || view.cell || pairsDialog.open || !selection.size;
  if (isAlone) return cell ? [cell] : [];
  return shownCells().filter((index) => selection.has(index)).map((index) => cells[index]);
}

function setSelection(indexes) {
  const before = new Set(selection);
  selection.clear();
  for (const index of indexes) selection.add(index);
  const changed = [...new Set([...before, ...selection])].filter((index) => before.has(index) !== selection.has(index));
  for (const index of changed) showSelected(index);
  drawSelection();
}

function showSelected(index) {
  const node = sheetOf(index).nodes.get(index);
  if (node) markSelected(node);
}

const markSelected = (node) => node.setAttribute("aria-selected", String(selection.has(Number(node.dataset.index))));

function toggleSelected(index) {
  const chosen = [...selection].filter((one) => one !== index);
  setSelection(chosen.length < selection.size ? chosen : [...selection, index]);
  beginRange(index);
}

function beginRange(index) {
  selectionFrom = index;
  selectionBefore = [...selection];
}

/** Select from where the range began to a cell: in columns the block between both, else the cells between in their order. */
function selectTo(index) {
  if (selectionFrom === null || !shownCells().includes(selectionFrom)) beginRange(focusedIndex() ?? index);
  setSelection([...new Set([...selectionBefore, ...cellsBetween(selectionFrom, index)])]);
}

function cellsBetween(one, other) {
  const sheet = sheetOf(one);
  if (sheet !== sheetOf(other) || !sheet.layout.columns) {
    const [from, to] = [one, other].map((index) => shownCells().indexOf(index)).sort((a, b) => a - b);
    return shownCells().slice(from, to + 1);
  }
  const { layout } = sheet;
  const [a, b] = [one, other].map((index) => placeIn(layout, index));
  const isWithin = (value, ...ends) => value >= Math.min(...ends) && value <= Math.max(...ends);
  const lines = layout.lines.filter(({ places }, number) => places && isWithin(number, a.number, b.number));
  return lines.flatMap(({ places }) => places.filter(({ at }) => isWithin(at, a.at, b.at)).map(({ index }) => index));
}

function placeIn({ where, lines }, index) {
  const number = where.get(index);
  return { number, at: lines[number].places.find((place) => place.index === index).at };
}

/** The cells of the line in which a cell stands. */
function lineOfCell(index) {
  const { layout } = sheetOf(index);
  return layout.lines[layout.where.get(index)]?.places.map((place) => place.index) ?? [];
}

/** Select the line of a cell too; when all of it is selected, no longer. */
function toggleLine(cell) {
  const line = lineOfCell(cell.index);
  const isWhole = line.every((index) => selection.has(index));
  setSelection(isWhole ? [...selection].filter((index) => !line.includes(index)) : [...selection, ...line]);
  beginRange(cell.index);
}

function selectAll() {
  setSelection(selection.size === shownCells().length ? [] : shownCells());
  selectionFrom = null;
}

function clearSelection() {
  if (!selection.size) return false;
  setSelection([]);
  selectionFrom = null;
  return true;
}

/* The bar at the foot of the page. */

const selectionBar = make("div", { id: "selection-bar", className: "compare-bar", role: "region", "aria-label": "Selected cells", hidden: true });

function drawSelection() {
  selectionBar.hidden = !selection.size;
  if (!selection.size) {
    if (selectionBar.contains(document.activeElement)) document.querySelector(ANY_CELL)?.focus();
    return;
  }
  selectionBar.querySelector(".selected-count").textContent = `${withCommas(selection.size)} selected`;
  selectionBar.querySelector('[data-act="compare"]').disabled = selection.size < 2 || selection.size > MOST_COMPARED;
  selectionBar.querySelector('[data-act="contest"]').disabled = selection.size < 2;
}

function fillSelectionBar() {
  const button = (act, textContent, run, more = {}) => {
    const made = make("button", { type: "button", className: "action", "data-act": act, textContent, ...more });
    made.addEventListener("click", run);
    return made;
  };
  const decideAll = (change) => () => decideAbout(decidedCells(null), change);
  const stars = [1, 2, 3, 4, 5].map((count) => button("stars", `${count}★`, decideAll({ stars: count }), { "aria-label": starsText(count) }));
  selectionBar.append(
    make("strong", { className: "selected-count", role: "status" }),
    ...(isDiff ? [] : [
      make("span", { className: "bar-group", role: "group", "aria-label": "Stars" }, ...stars),
      button("pick", "Pick", decideAll({ picked: true })), button("reject", "Reject", decideAll({ rejected: true })), button("reset", "Reset", decideAll(NO_DECISION)),
    ]),
    button("compare", "Compare", compareSelected), button("contest", "Winner stays", () => startContest(null)),
    button("clear", "Clear selection", clearSelection));
}

function compareSelected() {
  if (selection.size < 2 || selection.size > MOST_COMPARED) return false;
  compareFor(decidedCells(null));
  return true;
}

/** Whether any press selects a cell, as with a finger, which has neither Ctrl nor Shift. */
let pressingSelects = false;

function togglePressing() {
  pressingSelects = !pressingSelects;
  document.documentElement.toggleAttribute("data-pressing-selects", pressingSelects);
}

/** The corner of the cell under the pointer, which selects it. */
const selectKnob = make("button", { type: "button", className: "select-knob", tabIndex: -1, "aria-label": "Select" });

function moveKnob({ target, pointerType }) {
  const node = target.closest?.(".grid .cell");
  if (node && pointerType === "mouse" && selectKnob.parentElement !== node) node.append(selectKnob);
}

function pressKnob(event) {
  const index = Number(selectKnob.parentElement.dataset.index);
  if (!pressSelects(index, event)) toggleSelected(index);
}

/** A press with Ctrl, ⌘ or Shift selects; any other opens the cell. True where it selected. */
function pressSelects(index, event) {
  if (event.shiftKey) selectTo(index);
  else if (event.ctrlKey || event.metaKey || pressingSelects) toggleSelected(index);
  else return false;
  revealCell(index, { focus: true, centre: false });
  return true;
}

/** Shift with an arrow key moves on and selects what lies between. */
function extendSelection(event) {
  const index = focusedIndex();
  if (index === null || !event.shiftKey || event.altKey || event.ctrlKey || event.metaKey || !(event.key in STEPS)) return;
  event.preventDefault();
  event.stopPropagation();
  const next = cellAfterKey(index, event.key, false);
  if (selectionFrom === null || !selection.has(index)) beginRange(index);
  selectTo(next ?? index);
  if (next !== undefined) revealCell(next, { focus: true, centre: false });
}

/** Cells that the sheet no longer shows are no longer selected. */
function keepSelectionShown() {
  if (!selection.size) return;
  const shown = new Set(shownCells());
  const left = [...selection].filter((index) => shown.has(index));
  if (left.length < selection.size) setSelection(left);
}

function startSelection() {
  document.body.append(selectionBar);
  fillSelectionBar();
  const stages = document.getElementById("stages");
  for (const grid of stages.querySelectorAll(".grid")) grid.setAttribute("aria-multiselectable", "true");
  stages.addEventListener("keydown", (event) => {
    extendSelection(event);
    if ((event.ctrlKey || event.metaKey) && event.key === "a" && focusedIndex() !== null) {
      event.preventDefault();
      selectAll();
    }
  });
  stages.addEventListener("pointerover", moveKnob);
  selectKnob.addEventListener("click", pressKnob);
  const isOnSheet = () => !document.querySelector("dialog[open]");
  bindKeys(["s"], "select or deselect a cell; or click it with Ctrl, or with Shift for a range", (cell) => (cell && isOnSheet() ? toggleSelected(cell.index) : false), "Select");
  bindKeys(["r"], "select or deselect the row", (cell) => (cell && isOnSheet() ? toggleLine(cell) : false), "Select");
  bindKeys(["a"], "select all cells that are shown, or deselect them", () => (isOnSheet() ? selectAll() : false), "Select");
  bindKeys(["Shift ← ↑ → ↓"], "move the focus and select the cells in between", () => false, "Select"); // extendSelection does it
  bindKeys(["M"], "turn selecting by a click on or off", () => (isOnSheet() ? togglePressing() : false), "Select");
  bindKeys(["Escape"], "close what is open, or clear the selection", () => (isOnSheet() ? clearSelection() : false), "Select");
  onView(keepSelectionShown);
  onDecisions(keepSelectionShown);
}
