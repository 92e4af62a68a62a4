/* Culling: going on to the next cell after a decision, one picture in the whole screen, and a slideshow. */

const ADVANCE_STORE = "krea-pipe advance";
const SHOW_SECONDS = [2, 3, 5, 10];

/** Whether a decision by key leads on to the next cell. */
let advances = false;

/** The slideshow: whether it plays, for how many seconds each picture stays, and its timer. */
const show = { plays: false, seconds: 3, timer: 0 };

/** The cells that the open cell's way leads through, by index, where these are not all that are shown. */
let shownWay = null;

function storedAdvance() {
  try {
    return localStorage.getItem(ADVANCE_STORE) === "yes";
  } catch {
    return false;
  }
}

function setAdvance(wanted) {
  advances = wanted;
  announce(wanted ? "Auto-advance on" : "Auto-advance off");
  try {
    localStorage.setItem(ADVANCE_STORE, wanted ? "yes" : "no");
  } catch {
    // Not remembered, but done.
  }
}

/** Where a decision about a cell leads: a function that goes there, found before the decision moves cells about. */
function wayOn([cell, ...more]) {
  if (!advances || more.length || contest) return null;
  const act = nextOf(cell);
  return act && ((key) => isGiven(decisionOf(cell), key) && act());
}

/** Whether a key has given what it stands for, and not taken it back. */
function isGiven({ picked, rejected, stars }, key) {
  return key === "x" ? rejected : key === "p" ? picked : stars === Number(key);
}

function nextOf(cell) {
  if (view.comparing) {
    const next = shownPanes()[shownPanes().indexOf(cell) + 1];
    return next && (() => takeInHand(next.id, { focus: true }));
  }
  if (pairsDialog.open) return () => walkTiles([1, 0]);
  const next = besides(cell, 1);
  if (next === undefined) return null;
  return view.cell ? () => openCell(next) : () => revealCell(next, { focus: true, centre: false });
}

/* One picture in the whole screen. */

const light = detail.querySelector(".light");

/** The picture of the open cell alone; where the browser has no full screen, in the whole window. */
function toggleBare() {
  const isBare = detail.hasAttribute("data-bare");
  detail.toggleAttribute("data-bare", !isBare);
  if (isBare) leaveFullScreen();
  else light.requestFullscreen?.().catch(() => {});
  drawShow();
}

function leaveFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
}

function showBare(cell) {
  if (view.comparing) {
    toggleRoom();
    return;
  }
  if (!view.cell) openCell(cell.index);
  toggleBare();
}

/** The compared pictures in full screen, or back in their dialog. */
function toggleRoom() {
  if (document.fullscreenElement) leaveFullScreen();
  else document.getElementById("compare-room").requestFullscreen?.().catch(() => {});
}

/* The slideshow. */

/** Start with the selected cells, else with all that are shown; or stop. */
function toggleShow(cell) {
  if (show.plays) {
    playShow(false);
    return;
  }
  if (!view.cell) {
    shownWay = selection.size > 1 ? decidedCells(null).map(({ index }) => index) : null;
    openCell(shownWay && !shownWay.includes(cell?.index) ? shownWay[0] : cell?.index ?? inOrder()[0]);
  }
  if (!detail.hasAttribute("data-bare")) toggleBare();
  playShow(true);
}

function playShow(plays) {
  show.plays = plays;
  waitForNext();
  drawShow();
}

function waitForNext() {
  clearTimeout(show.timer);
  if (!show.plays) return;
  const next = besides(openedCell(), 1);
  if (next === undefined) {
    playShow(false);
    return;
  }
  preload(cells[next]);
  show.timer = setTimeout(() => openCell(next), show.seconds * 1000);
}

/** Have the next picture ready when its turn comes. */
function preload(cell) {
  const original = originalOf(cell);
  if (original) new Image().src = original;
}

/* The line over the picture. */

const showLine = make("div", { className: "show-line", role: "group", "aria-label": "Full screen and slideshow" });
const bareButton = make("button", { type: "button", className: "action" });
const playButton = make("button", { type: "button", className: "action" });
const secondsChoice = make("select", { "aria-label": "Seconds for each picture" }, ...SHOW_SECONDS.map((count) => make("option", { value: count, textContent: `${count} s`, selected: count === show.seconds })));
const bareName = make("span", { className: "bare-name" });

function drawShow() {
  const isBare = detail.hasAttribute("data-bare");
  bareButton.textContent = isBare ? "Leave full screen" : "Full screen";
  playButton.textContent = show.plays ? "Pause" : "Slideshow";
  secondsChoice.hidden = bareName.hidden = !isBare;
  light.querySelector(":scope > .verdict")?.remove();
  const cell = openedCell();
  if (!cell || !isBare) return;
  light.append(...verdictOf(cell));
  bareName.textContent = [document.getElementById("position").textContent, view.blind ? "" : nameOf(axesOf(cell), cell)].filter(Boolean).join(" · ");
}

function followDetail(now, before) {
  if (!now.cell) {
    show.plays = false;
    clearTimeout(show.timer);
    shownWay = null;
    detail.removeAttribute("data-bare");
    leaveFullScreen();
  } else if (now.cell !== before.cell && show.plays) waitForNext();
  if (now.cell) drawShow();
}

function startCulling() {
  advances = storedAdvance();
  showLine.append(bareButton, playButton, secondsChoice, bareName);
  light.append(showLine);
  bareButton.addEventListener("click", toggleBare);
  playButton.addEventListener("click", () => toggleShow(openedCell()));
  secondsChoice.addEventListener("change", () => {
    show.seconds = Number(secondsChoice.value);
    waitForNext();
  });
  document.addEventListener("fullscreenchange", () => {
    if (document.fullscreenElement || !detail.hasAttribute("data-bare")) return;
    detail.removeAttribute("data-bare");
    playShow(false);
  });
  onView(followDetail);
  onDecisions(() => view.cell && drawShow());
  const isElsewhere = () => view.comparing || pairsDialog.open;
  bindKeys(["F"], "show the picture, or the compared pictures, in full screen; press again to leave", (cell) => (cell && !pairsDialog.open ? showBare(cell) : false), "View");
  bindKeys(["S"], "slideshow of the selected cells, or of all cells that are shown", (cell) => (isElsewhere() || !inOrder().length ? false : toggleShow(cell)), "View");
  bindKeys([" "], "", (_, { target }) => (view.cell && detail.hasAttribute("data-bare") && !target.closest("button, select") ? toggleShow(openedCell()) : false));
  bindKeys(["A"], "auto-advance: move to the next cell after each decision", () => (isDiff ? false : setAdvance(!advances)), "Decide");
}
