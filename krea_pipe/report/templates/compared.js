/* The pictures of a comparison: beside each other, under a slider, or one in place of the other. */

const COMPARE_MODES = { side: "Side by side", slider: "Slider", flicker: "Flicker" };
const PANE_GAP = 12;
let comparedZoom = null;
let flickered = 0;

/** Layout of the pictures: a slider is for two. */
function modeNow() {
  const wanted = view.compareAs in COMPARE_MODES ? view.compareAs : "side";
  return wanted === "slider" && view.compare.length !== 2 ? "side" : wanted;
}

function drawComparison() {
  const some = comparedCells();
  stopPictures();
  flickered = 0;
  comparison.dataset.mode = modeNow();
  drawModes(some);
  document.getElementById("compare-title").textContent = isPairMarked() ? some[0].pair : "Compare";
  const draw = { side: panesOf, slider: sliderOf, flicker: flickerOf }[modeNow()];
  const room = document.getElementById("compare-room");
  room.replaceChildren(...draw(some));
  fitPanes();
  comparedZoom = zoomTogether([...room.querySelectorAll("img.compared")], (scale) => showLevel("compare", scale));
  showLevel("compare", 1);
  document.getElementById("compare-text").replaceChildren(...captionsOf(some), ...differencesTable(some));
}

function drawModes(some) {
  const hold = document.getElementById("compare-hold");
  hold.hidden = modeNow() !== "flicker";
  hold.textContent = some.length === 2 ? "Hold to see B" : "Next picture";
  for (const input of comparison.querySelectorAll('input[name="compare-as"]')) {
    input.checked = input.value === modeNow();
    input.disabled = input.value === "slider" && some.length !== 2;
  }
}

function stopPictures() {
  comparedZoom?.stop();
  comparedZoom = null;
}

/** A picture in its frame: the thumbnail at once, the original when it is there. */
function pane(cell, place) {
  const frame = style(make("figure", { className: "pane", "data-cell": cell.id, "data-status": cell.status }), { ratio: ratioOf(cell) });
  frame.append(make("span", { className: "letter panzoom-exclude", textContent: LETTERS[place] }));
  frame.append(...pictureOf(cell));
  return frame;
}

function pictureOf(cell) {
  const small = thumbnailOf(cell);
  const original = originalOf(cell);
  if (!small && !original) return [make("div", { className: "note" }, ...noteOf(cell))];
  const image = make("img", { className: "compared", alt: cell.prompt || cell.id, draggable: false });
  if (small) image.src = small;
  if (!original) return [image];
  const probe = new Image();
  probe.addEventListener("load", () => { image.src = probe.src; });
  probe.src = original;
  return [image];
}

const panesOf = (some) => some.map(pane);

/** Two pictures in one place: the second is cut off at the slider. The slider is a range, so that keys move it. */
function sliderOf(some) {
  const [first, second] = some.map(pane);
  second.classList.add("cut");
  const stack = style(make("div", { className: "stack" }, first, second, make("span", { className: "cut-line" })), { cut: "50%" });
  const range = make("input", { type: "range", id: "compare-slider", className: "panzoom-exclude", min: 0, max: 100, step: 0.5, value: 50, "aria-label": "How much of A is shown" });
  range.addEventListener("input", () => style(stack, { cut: `${range.value}%` }));
  stack.append(range);
  return [stack];
}

/** All pictures in one place, of which one is shown. */
function flickerOf(some) {
  const stack = make("div", { className: "stack" }, ...some.map(pane));
  showFlickered(stack);
  return [stack];
}

/** A key goes down: the next picture; it goes up: of two, the first again. */
function flicker(isDown) {
  const stack = document.querySelector("#compare-room .stack");
  const count = view.compare.length;
  if (modeNow() !== "flicker" || !stack || (!isDown && count > 2)) return;
  flickered = isDown ? (flickered + 1) % count : 0;
  showFlickered(stack);
}

function showFlickered(stack) {
  stack.dataset.shows = LETTERS[flickered];
  [...stack.querySelectorAll(".pane")].forEach((one, place) => one.toggleAttribute("data-under", place !== flickered));
}

/** All pictures at one height, the largest that fits: in as many lines as that takes. */
function fitPanes() {
  const room = document.getElementById("compare-room");
  const ratios = comparedCells().map(ratioOf);
  const isStack = modeNow() !== "side";
  const height = isStack
    ? Math.min(room.clientHeight, room.clientWidth / Math.max(...ratios))
    : Math.max(...ratios.map((_, at) => heightIn(at + 1, ratios, room)));
  style(room, { h: `${Math.max(60, Math.floor(height))}px`, widest: Math.max(...ratios) });
}

/** The height of pictures that stand in so many lines. */
function heightIn(lines, ratios, room) {
  const inLine = Math.ceil(ratios.length / lines);
  const widths = Array.from({ length: lines }, (_, line) => ratios.slice(line * inLine, (line + 1) * inLine)).filter((some) => some.length);
  const across = widths.map((some) => (room.clientWidth - (some.length - 1) * PANE_GAP) / some.reduce((sum, ratio) => sum + ratio, 0));
  return Math.min((room.clientHeight - (widths.length - 1) * PANE_GAP) / widths.length, ...across) - 1;
}

/** Under the pictures, whose letter is whose. */
function captionsOf(some) {
  const axes = axesOf(some[0]).filter(({ name }) => some.some((cell) => keyOf(cell.axes[name]) !== keyOf(some[0].axes[name])));
  const items = some.map((cell, place) => {
    const isOneStage = some.every(({ stage }) => stage === some[0].stage);
    const name = isOneStage && axes.length ? axes.map((axis) => `${axis.name} ${labelOf(cell, axis)}`).join(" · ") : cell.id;
    return make("li", {}, make("span", { className: "letter", textContent: LETTERS[place] }), cellLink(cell, { label: name }));
  });
  return [make("ul", { className: "captions" }, ...items)];
}

function startPictures() {
  const onPress = (id, key) => document.getElementById(id).addEventListener("click", () => zoomByKey(comparedZoom, key));
  onPress("compare-in", "+");
  onPress("compare-out", "-");
  onPress("compare-fit", ".");
  const hold = document.getElementById("compare-hold");
  hold.addEventListener("pointerdown", (event) => {
    hold.setPointerCapture(event.pointerId);
    flicker(true);
  });
  for (const name of ["pointerup", "pointercancel"]) hold.addEventListener(name, () => flicker(false));
  document.getElementById("compare-modes").addEventListener("change", (event) => setView({ compareAs: event.target.value }));
  bindKeys(["+", "=", "-", ".", "0"], "", (_, event) => (view.comparing ? zoomByKey(comparedZoom, event.key) : false));
  bindKeys(["f", " "], "in a comparison: hold to see the other picture", (_, event) => {
    if (!view.comparing || (event.key === " " && event.target.closest?.("button:not(#compare-hold), input, a, summary"))) return false;
    if (modeNow() !== "flicker") setView({ compareAs: "flicker" });
    if (!event.repeat) flicker(true);
    return true;
  });
  comparison.addEventListener("keyup", (event) => {
    if (event.key === "f" || event.key === " ") flicker(false);
  });
  window.addEventListener("blur", () => flicker(false));
  new ResizeObserver(() => {
    if (comparison.open) fitPanes();
  }).observe(document.getElementById("compare-room"));
}
