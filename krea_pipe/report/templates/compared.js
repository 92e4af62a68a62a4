/* The pictures of a comparison: beside each other, under a slider, or one in place of the other. */

const COMPARE_MODES = { side: "Side by side", slider: "Slider", flicker: "Flicker" };
let comparedZoom = null;
let flickered = 0;

const modeNow = () => (view.compareAs in COMPARE_MODES ? view.compareAs : "side");

/** The two pictures that a slider or flicker shows: the chosen ones, else those that were in hand last. */
function pairShown() {
  const some = comparedCells();
  const chosen = [...view.pair, ...handled, ...some.map(({ id }) => id)].filter((id) => view.compare.includes(id));
  const [first, second] = new Set(chosen);
  return view.pair.length === 2 ? [first, second].map((id) => cellsById.get(id)) : some.filter(({ id }) => id === first || id === second);
}

/** The cells whose pictures are in sight. */
const shownPanes = () => (modeNow() === "side" ? comparedCells() : pairShown());

const letterOf = (cell) => LETTERS[comparedCells().indexOf(cell)];

function drawComparison() {
  const some = comparedCells();
  stopPictures();
  flickered = 0;
  comparison.dataset.mode = modeNow();
  drawCompareTools(some);
  const draw = { side: panesOf, slider: sliderOf, flicker: flickerOf }[modeNow()];
  const room = document.getElementById("compare-room");
  room.replaceChildren(...draw(shownPanes()));
  drawCompareText(some);
  fitPanes();
  comparedZoom = zoomTogether([...room.querySelectorAll("img.compared")], (scale) => showLevel("compare", scale));
  showLevel("compare", 1);
  holdHand();
}

/** The differences take room from the pictures: of many, in a narrow window, and in a contest, they are shown only when asked for. */
let differencesWanted = null;
const areDifferencesShown = () => differencesWanted ?? (!contest && view.compare.length <= (sheetWidth().narrow ? 2 : 4));

function drawCompareText(some) {
  const text = document.getElementById("compare-text");
  const toggle = document.getElementById("compare-differences");
  toggle.hidden = Boolean(view.blind);
  toggle.setAttribute("aria-expanded", String(areDifferencesShown()));
  const names = modeNow() === "side" ? [] : [make("ul", { className: "captions" }, ...shownPanes().map((cell) => make("li", {}, ...paneCaption(cell))))];
  text.replaceChildren(...names, ...(areDifferencesShown() && !view.blind ? differencesTable(some) : []));
}

function drawCompareTools(some) {
  document.getElementById("compare-title").textContent = isPairMarked() ? some[0].pair : contest ? "Winner stays" : "Compare";
  for (const input of comparison.querySelectorAll('input[name="compare-as"]')) input.checked = input.value === modeNow();
  const hold = document.getElementById("compare-hold");
  hold.hidden = modeNow() !== "flicker";
  const [, second] = pairShown();
  hold.textContent = `Hold to see ${letterOf(second)}`;
  drawPairChoice(some);
  drawContest();
}

/** Which two of more than two pictures a slider or flicker shows. */
function drawPairChoice(some) {
  const choice = document.getElementById("compare-pair");
  choice.hidden = modeNow() === "side" || some.length < 3;
  if (choice.hidden) return;
  const pair = pairShown().map(({ id }) => id);
  const focused = choice.contains(document.activeElement) ? document.activeElement.name : "";
  const selects = ["First", "Second"].map((name, at) => {
    const options = some.map((cell) => make("option", { value: cell.id, textContent: letterOf(cell), selected: cell.id === pair[at], disabled: cell.id === pair[1 - at] }));
    const select = make("select", { name, "aria-label": `${name} picture` }, ...options);
    select.addEventListener("change", () => setView({ pair: at ? [pair[0], select.value] : [select.value, pair[1]] }));
    return select;
  });
  choice.replaceChildren(selects[0], " and ", selects[1]);
  if (focused) choice.querySelector(`[name="${focused}"]`).focus();
}

/** Another picture in place of the second of the pair, or of the first. */
function stepPairShown(step, isFirst) {
  const pair = pairShown().map(({ id }) => id);
  const free = view.compare.filter((id) => id !== pair[isFirst ? 1 : 0]);
  const next = free[(free.indexOf(pair[isFirst ? 0 : 1]) + step + free.length) % free.length];
  setView({ pair: isFirst ? [next, pair[1]] : [pair[0], next] });
}

function stopPictures() {
  comparedZoom?.stop();
  comparedZoom = null;
}

/** A picture in its frame: the thumbnail at once, the original when it is there. */
function pane(cell) {
  const place = make("div", { className: "pane-frame" }, make("span", { className: "letter panzoom-exclude", textContent: letterOf(cell) }), ...pictureOf(cell));
  const figure = make("figure", { className: "pane", role: "group", tabIndex: -1, "data-cell": cell.id, "data-status": cell.status }, place);
  showPaneDecision(figure);
  return figure;
}

function pictureOf(cell) {
  const small = thumbnailOf(cell);
  const original = originalOf(cell);
  if (!small && !original) return [make("div", { className: "note" }, ...noteOf(cell))];
  const image = make("img", { className: "compared", alt: view.blind ? "" : cell.prompt || cell.id, draggable: false });
  if (small) image.src = small;
  if (!original) return [image];
  const probe = new Image();
  probe.addEventListener("load", () => { image.src = probe.src; });
  probe.src = original;
  return [image];
}

function panesOf(some) {
  return some.map((cell) => {
    const figure = pane(cell);
    figure.append(make("figcaption", {}, ...paneCaption(cell)));
    return figure;
  });
}

/** Two pictures in one place: the second is cut off at the slider. The slider is a range, so that keys move it. */
function sliderOf(some) {
  const [first, second] = some.map(pane);
  second.classList.add("cut");
  const stack = style(make("div", { className: "stack" }, first, second, make("span", { className: "cut-line" })), { cut: "50%" });
  const range = make("input", { type: "range", id: "compare-slider", className: "panzoom-exclude", min: 0, max: 100, step: 0.5, value: 50, "aria-label": `How much of ${letterOf(some[0])} is shown` });
  range.addEventListener("input", () => style(stack, { cut: `${range.value}%` }));
  stack.append(range);
  return [stack];
}

/** Both pictures in one place, of which one is shown. */
function flickerOf(some) {
  const stack = make("div", { className: "stack" }, ...some.map(pane));
  showFlickered(stack);
  return [stack];
}

/** While a key is held, the second picture is shown. */
function flicker(isDown) {
  const stack = document.querySelector("#compare-room .stack");
  if (modeNow() !== "flicker" || !stack) return;
  flickered = isDown ? 1 : 0;
  showFlickered(stack);
}

function showFlickered(stack) {
  stack.dataset.shows = letterOf(pairShown()[flickered]);
  [...stack.querySelectorAll(".pane")].forEach((one, place) => one.toggleAttribute("data-under", place !== flickered));
  holdHand();
}

function startPictures() {
  const onPress = (id, act) => document.getElementById(id).addEventListener("click", act);
  onPress("compare-in", () => zoomByKey(comparedZoom, "+"));
  onPress("compare-out", () => zoomByKey(comparedZoom, "-"));
  onPress("compare-fit", () => zoomByKey(comparedZoom, "."));
  onPress("compare-differences", toggleDifferences);
  const hold = document.getElementById("compare-hold");
  hold.addEventListener("pointerdown", (event) => {
    hold.setPointerCapture(event.pointerId);
    flicker(true);
  });
  for (const name of ["pointerup", "pointercancel"]) hold.addEventListener(name, () => flicker(false));
  document.getElementById("compare-modes").addEventListener("change", (event) => showAs(event.target.value));
  bindPictureKeys();
  window.addEventListener("blur", () => flicker(false));
  new ResizeObserver(() => {
    if (comparison.open) fitPanes();
  }).observe(document.getElementById("compare-room"));
}

/** Change the layout of the pictures; two that are in sight together stay the pair. */
function showAs(mode) {
  setView({ compareAs: mode === "side" ? "" : mode, pair: view.pair.length ? view.pair : pairShown().map(({ id }) => id) });
}

function toggleDifferences() {
  differencesWanted = !areDifferencesShown();
  drawCompareText(comparedCells());
  fitPanes();
}

function bindPictureKeys() {
  bindKeys(["+", "=", "-", "."], "", (_, event) => (view.comparing ? zoomByKey(comparedZoom, event.key) : false));
  bindKeys(["f", " "], "in a comparison: hold to see the other picture in the same place", (_, event) => {
    if (!view.comparing || (event.key === " " && event.target.closest?.("button:not(#compare-hold), input, a, summary"))) return false;
    if (modeNow() !== "flicker") showAs("flicker");
    if (!event.repeat) flicker(true);
    return true;
  }, "Compare");
  bindKeys(["s"], "in a comparison: turn the slider on or off", () => (view.comparing ? showAs(modeNow() === "slider" ? "side" : "slider") : false), "Compare");
  bindKeys(["i"], "in a comparison: show or hide the differences", () => (view.comparing ? toggleDifferences() : false), "Compare");
  document.addEventListener("keyup", (event) => {
    if (event.key === "f" || event.key === " ") flicker(false);
  });
}
