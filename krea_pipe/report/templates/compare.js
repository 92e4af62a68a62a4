/* Cells that are marked for comparison, the bar that shows them, and the dialog in which they stand beside each other. */

const MOST_COMPARED = LETTERS.length;
const comparison = document.getElementById("compare");
/** Where the focus goes when what had it is no more. */
const ANY_CELL = '#stages [tabindex="0"]';
let opener = null;

/** The marks of before a comparison that has brought its own cells; they come back when it ends. */
let lentMarks = null;

/** Mark or unmark a cell for comparison; what is over twelve is not taken, and the bar says so. */
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

/** Show the marked cells beside each other; else the selected ones, else a cell and its pair in the other run, or its draft. */
function openCompare(cell) {
  if (view.compare.length > 1) setView({ comparing: true, cell: "" });
  else if (!view.cell && compareSelected()) return true;
  else if (pairOf(cell) ?? draftPairOf(cell)) compareFor(pairOf(cell) ?? draftPairOf(cell));
  else return false;
  return true;
}

/** Compare other cells than the marked ones, which stay marked. */
function compareFor(some, change = {}) {
  lentMarks ??= view.compare;
  setView({ compare: some.map(({ id }) => id), pair: [], comparing: true, cell: "", ...change });
}

const comparedCells = () => inBlindOrder(view.compare.map((id) => cellsById.get(id)).filter(Boolean));

function showCompared(now, before) {
  const marksChanged = now.compare.join("\n") !== before.compare.join("\n");
  const runsChanged = now.comparing !== before.comparing;
  if (marksChanged || runsChanged) drawBar();
  if (!now.comparing || now.compare.length < 2) {
    if (comparison.open) comparison.close();
  } else if (!comparison.open) {
    opener = before.cell || currentIdOnSheet();
    comparison.showModal();
    comparison.focus();
    drawComparison();
  } else if (marksChanged || now.compareAs !== before.compareAs || now.pair !== before.pair) {
    drawComparison();
  }
}

const currentIdOnSheet = () => cells[focusedIndex()]?.id ?? "";

function leaveComparison() {
  const marks = lentMarks;
  [lentMarks, contest, pointed] = [null, null, ""];
  stopPictures();
  document.getElementById("compare-room").replaceChildren();
  if (marks) setView({ compare: marks, pair: [] });
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
    const button = make("button", { type: "button", className: "marked", title: view.blind ? "" : cell.id, "aria-label": `Remove ${LETTERS[place]}${view.blind ? "" : `, ${cell.id}`}` },
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
  setView({ compare: [], comparing: false, compareAs: "", pair: [] });
  document.querySelector(ANY_CELL)?.focus();
}

/** In the open cell: whether it is marked, and the way to the comparison. */
function showMarked(cell) {
  const button = document.getElementById("detail-mark");
  const place = view.compare.indexOf(cell.id);
  button.setAttribute("aria-pressed", String(place >= 0));
  button.textContent = place < 0 ? "Mark to compare" : `Marked as ${LETTERS[place]}`;
  button.disabled = place < 0 && view.compare.length === MOST_COMPARED;
  const pair = view.compare.length < 2 && (pairOf(cell) ?? draftPairOf(cell));
  const open = document.getElementById("detail-compare");
  open.hidden = view.compare.length < 2 && !pair;
  open.textContent = !pair ? `Compare ${view.compare.length}` : pairOf(cell) ? "Compare the two runs" : pair[0] === cell ? "Compare with the final" : "Compare with the draft";
}

/** Take a picture out of an open comparison, unless two are left. */
function removeFromSurvey(cell) {
  if (!cell || view.compare.length < 3) return false;
  const at = view.compare.indexOf(cell.id);
  toggleCompare(cell);
  takeInHand(view.compare[Math.min(at, view.compare.length - 1)], { focus: true });
  return true;
}

function startCompare() {
  const onPress = (id, act) => document.getElementById(id).addEventListener("click", act);
  onPress("compare-open", () => openCompare(null));
  onPress("detail-compare", () => openCompare(cellsById.get(view.cell)));
  onPress("compare-clear", clearMarks);
  const leave = () => setView({ comparing: false, pair: [], ...(isPairMarked() ? { compare: [] } : {}) });
  onPress("compare-close", leave);
  comparison.addEventListener("cancel", leave); // at once: the next key is about the sheet already
  comparison.addEventListener("close", () => {
    if (view.comparing) leave();
    leaveComparison();
  });
  bindKeys(["c"], "mark or unmark a cell to compare, up to twelve; in a comparison, remove the picture", (cell) => {
    if (view.comparing) return removeFromSurvey(cell);
    return cell ? toggleCompare(cell) : false;
  }, "Compare");
  bindKeys(["C"], "compare the marked cells, or the selected cells", (cell) => (view.comparing ? false : openCompare(cell)), "Compare");
  startPictures();
  startSurvey();
  onView(showCompared);
  onRows((changed) => {
    if (view.compare.some((id) => changed.includes(cellsById.get(id).index))) {
      drawBar();
      if (comparison.open) drawComparison();
    }
  });
}
