/* Cells that are marked for comparison, the bar that shows them, and the dialog in which they stand beside each other. */

const MOST_COMPARED = 4;
const comparison = document.getElementById("compare");
/** Where the focus goes when what had it is no more. */
const ANY_CELL = '#stages [tabindex="0"]';
let opener = null;

/** Mark or unmark a cell for comparison; what is over four is not taken, and the bar says so. */
function toggleCompare(cell) {
  const isMarked = view.compare.includes(cell.id);
  const isFull = !isMarked && view.compare.length === MOST_COMPARED;
  document.getElementById("compare-full").hidden = !isFull;
  if (isFull) return;
  setView({ compare: isMarked ? view.compare.filter((id) => id !== cell.id) : [...view.compare, cell.id] });
}

/** What a cell's caption shows when it is marked: its letter. */
function compareMarks(cell) {
  const place = view.compare.indexOf(cell.id);
  if (place < 0) return [];
  return [make("span", { className: "letter", title: "marked for comparison", textContent: LETTERS[place] })];
}

/** A cell and the same cell of the other run, in a page about two runs; null elsewhere. */
function pairOf(cell) {
  if (!cell?.pair) return null;
  const pair = cells.filter((one) => one.pair === cell.pair);
  return pair.length === 2 ? pair : null;
}

/** Whether the marked cells are one cell in its two runs: such marks go when their comparison does. */
function isPairMarked() {
  const [first, second, ...more] = comparedCells();
  return Boolean(first?.pair && first.pair === second?.pair && !more.length);
}

/** In the comparison of a cell's two runs: the one before or after it on the page. */
function walkPairs(step) {
  const order = inOrder();
  const { pair } = comparedCells()[0];
  for (let at = order.indexOf(comparedCells()[step > 0 ? 1 : 0].index); order[at] !== undefined; at += step) {
    const next = cells[order[at]].pair !== pair && pairOf(cells[order[at]]);
    if (!next) continue;
    opener = next[0].id;
    setView({ compare: next.map(({ id }) => id) });
    return;
  }
}

/** Show the marked cells beside each other; without marks a cell and its pair in the other run. */
function openCompare(cell) {
  const marked = view.compare.length > 1 ? view.compare : pairOf(cell)?.map(({ id }) => id);
  if (!marked) return false;
  setView({ compare: marked, comparing: true, cell: "" });
  return true;
}

const comparedCells = () => view.compare.map((id) => cellsById.get(id)).filter(Boolean);

function showCompared(now, before) {
  const marksChanged = now.compare.join("\n") !== before.compare.join("\n");
  const runsChanged = now.comparing !== before.comparing;
  if (marksChanged || runsChanged) drawBar();
  if (marksChanged && typeof redrawCells === "function") {
    redrawCells([...new Set([...before.compare, ...now.compare])].map((id) => cellsById.get(id)?.index).filter((index) => index !== undefined));
  }
  if (!now.comparing || now.compare.length < 2) {
    if (comparison.open) comparison.close();
  } else if (!comparison.open) {
    opener = before.cell || currentId();
    comparison.showModal();
    comparison.focus();
    drawComparison();
  } else if (marksChanged || now.compareAs !== before.compareAs) {
    drawComparison();
  }
}

const currentId = () => currentCell()?.id ?? "";

function leaveComparison() {
  stopPictures();
  document.getElementById("compare-room").replaceChildren();
  if (!view.cell && opener) returnFocus(opener);
  opener = null;
}

/** The bar at the foot of the page: there as long as something is marked. */
function drawBar() {
  const bar = document.getElementById("compare-bar");
  const marked = comparedCells();
  bar.hidden = !marked.length;
  document.getElementById("compare-open").disabled = marked.length < 2;
  if (marked.length < MOST_COMPARED) document.getElementById("compare-full").hidden = true;
  document.getElementById("compare-marked").replaceChildren(...marked.map((cell, place) => {
    const address = thumbnailOf(cell);
    const button = make("button", { type: "button", className: "marked", title: cell.id, "aria-label": `Remove ${LETTERS[place]}, ${cell.id}` },
      make("span", { className: "letter", textContent: LETTERS[place] }), smallPicture(address));
    button.addEventListener("click", () => takeAway(cell, place));
    return make("li", {}, button);
  }));
}

function takeAway(cell, place) {
  toggleCompare(cell);
  const left = document.querySelectorAll("#compare-marked button");
  (left[Math.min(place, left.length - 1)] ?? document.querySelector(ANY_CELL))?.focus();
}

function clearMarks() {
  setView({ compare: [], comparing: false, compareAs: "" });
  document.querySelector(ANY_CELL)?.focus();
}

/** In the open cell: whether it is marked, and the way to the comparison. */
function showMarked(cell) {
  const button = document.getElementById("detail-mark");
  const place = view.compare.indexOf(cell.id);
  button.setAttribute("aria-pressed", String(place >= 0));
  button.textContent = place < 0 ? "Mark to compare" : `Marked as ${LETTERS[place]}`;
  button.disabled = place < 0 && view.compare.length === MOST_COMPARED;
  const pair = view.compare.length < 2 && pairOf(cell);
  const open = document.getElementById("detail-compare");
  open.hidden = view.compare.length < 2 && !pair;
  open.textContent = pair ? "Compare the two runs" : `Compare ${view.compare.length}`;
}

function startCompare() {
  const onPress = (id, act) => document.getElementById(id).addEventListener("click", act);
  onPress("compare-open", () => openCompare(null));
  onPress("detail-compare", () => openCompare(cellsById.get(view.cell)));
  onPress("compare-clear", clearMarks);
  const leave = () => setView({ comparing: false, ...(isPairMarked() ? { compare: [] } : {}) });
  onPress("compare-close", leave);
  comparison.addEventListener("close", () => {
    if (view.comparing) leave();
    leaveComparison();
  });
  bindKeys(["c"], "mark a cell to compare it, up to four", (cell) => (cell && !view.comparing ? toggleCompare(cell) : false));
  bindKeys(["C"], "compare the marked cells", (cell) => (view.comparing ? false : openCompare(cell)));
  bindKeys(["ArrowLeft", "ArrowRight"], "", (_, event) => {
    if (!view.comparing || !isPairMarked() || event.target.closest?.("input")) return false;
    return walkPairs(WALKS[event.key][0]);
  });
  startPictures();
  onView(showCompared);
  onRows((changed) => {
    if (view.compare.some((id) => changed.includes(cellsById.get(id).index))) {
      drawBar();
      if (comparison.open) drawComparison();
    }
  });
}
