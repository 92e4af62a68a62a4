/* The survey of a comparison: where its pictures stand, which of them keys are about, and what is decided below each. */

const PANE_GAP = 12;
/** Below a picture, in CSS pixels: its name and its decision on one line, on two, or its name alone. */
const CAPTIONS = [{ name: "line", height: 32, least: 380 }, { name: "two", height: 60, least: 190 }, { name: "name", height: 32, least: 0 }];

/** The id of the picture that the pointer is over, until a key moves the focus; and those that were in hand, the last one first. */
let pointed = "";
let handled = [];

const paneOf = (id) => comparison.querySelector(`.pane[data-cell="${CSS.escape(id)}"]`);

/** The id of the cell that keys are about in a comparison. */
function paneInHand() {
  if (modeNow() === "flicker") return pairShown()[flickered].id;
  const shown = shownPanes().map(({ id }) => id);
  return [pointed, ...handled].find((id) => shown.includes(id)) ?? shown[0];
}

function takeInHand(id, { focus = false } = {}) {
  handled = [id, ...handled.filter((one) => one !== id)].slice(0, MOST_COMPARED);
  if (focus) pointed = "";
  holdHand();
  if (focus) paneOf(id)?.focus();
}

/** Show which picture is in hand: it has the tab stop, and its frame is marked. */
function holdHand() {
  if (!comparison.open) return;
  const id = paneInHand();
  const hadFocus = !comparison.contains(document.activeElement) || document.activeElement === comparison;
  for (const one of comparison.querySelectorAll(".pane")) {
    const isInHand = one.dataset.cell === id;
    one.tabIndex = isInHand ? 0 : -1;
    one.toggleAttribute("data-in-hand", isInHand);
    if (isInHand && hadFocus) one.focus({ preventScroll: true });
  }
  drawHand();
}

/** Where pictures are too small for it, the decision about the one in hand is below all of them. */
function drawHand() {
  const place = document.getElementById("compare-hand");
  place.hidden = document.getElementById("compare-room").dataset.captions !== "name" || isDiff;
  const id = place.hidden ? "" : paneInHand();
  if (place.dataset.cell === `${id} ${view.compare.length} ${contest?.met}`) return;
  place.dataset.cell = `${id} ${view.compare.length} ${contest?.met}`;
  place.replaceChildren(...(id ? [make("li", {}, ...paneCaption(cellsById.get(id)))] : []));
}

/** Another picture comes into hand: across in the order of the survey, down in the line above or below. */
function walkSurvey([across, down]) {
  const panes = [...comparison.querySelectorAll(".pane")];
  const from = panes.findIndex(({ dataset }) => dataset.cell === paneInHand());
  const next = across ? panes[from + across] : paneBelow(panes, panes[from], down);
  if (next) takeInHand(next.dataset.cell, { focus: true });
}

function paneBelow(panes, from, down) {
  const middle = ({ offsetLeft, offsetWidth }) => offsetLeft + offsetWidth / 2;
  const beyond = panes.filter(({ offsetTop }) => (offsetTop - from.offsetTop) * down > 0);
  const top = down > 0 ? Math.min(...beyond.map(({ offsetTop }) => offsetTop)) : Math.max(...beyond.map(({ offsetTop }) => offsetTop));
  const off = (one) => Math.abs(middle(one) - middle(from));
  return beyond.filter(({ offsetTop }) => offsetTop === top).sort((one, other) => off(one) - off(other))[0];
}

/* Where the pictures stand. */

/** All pictures at one height, the largest that fits: in as many lines as that takes. */
function fitPanes() {
  const room = document.getElementById("compare-room");
  const ratios = shownPanes().map(ratioOf);
  const size = { width: room.clientWidth, height: room.clientHeight };
  if (modeNow() !== "side") {
    const widest = Math.max(...ratios);
    delete room.dataset.captions;
    drawHand();
    style(room, { h: `${Math.max(60, Math.floor(Math.min(size.height, size.width / widest)))}px`, widest });
    return;
  }
  const { caption, height, lines } = surveyIn(ratios, size);
  room.dataset.captions = caption.name;
  drawHand();
  placePanes(room.querySelectorAll(".pane"), { ratios, lines, height, caption, size });
}

/** How pictures of these ratios fill a room: {caption, height, lines}, lines as [first, end] of places. */
function surveyIn(ratios, size) {
  const narrowest = Math.min(...ratios);
  const found = CAPTIONS.map((caption) => ({ caption, ...largestIn(ratios, size, caption.height) }));
  return found.find(({ caption, height }) => height * narrowest >= caption.least) ?? found.at(-1);
}

/** The largest height at which some number of lines fits, the lines as even as that allows. */
function largestIn(ratios, size, captionHeight) {
  let best = { height: 0, lines: [] };
  for (let count = 1; count <= ratios.length; count += 1) {
    const lines = evenLines(ratios, count);
    const across = lines.map(([first, end]) => (size.width - (end - first - 1) * PANE_GAP) / sumOf(ratios.slice(first, end)));
    const down = (size.height - (lines.length - 1) * PANE_GAP) / lines.length - captionHeight;
    const height = Math.floor(Math.min(down, ...across));
    if (height > best.height) best = { height, lines };
  }
  return best.lines.length ? best : { height: 40, lines: [[0, ratios.length]] };
}

const sumOf = (numbers) => numbers.reduce((sum, number) => sum + number, 0);

/** So many lines that are about as wide as each other, as [first, end] of places. */
function evenLines(ratios, count) {
  const whole = sumOf(ratios);
  const lines = [];
  let [first, reached] = [0, 0];
  ratios.forEach((ratio, place) => {
    reached += ratio;
    const left = ratios.length - place - 1;
    const isFull = reached + (ratios[place + 1] ?? 0) / 2 > (whole * (lines.length + 1)) / count + 1e-9;
    if (left && !isFull && left > count - lines.length - 1) return;
    if (left && lines.length === count - 1) return;
    lines.push([first, place + 1]);
    first = place + 1;
  });
  return lines;
}

function placePanes(panes, { ratios, lines, height, caption, size }) {
  const full = height + caption.height;
  let y = Math.max(0, (size.height - lines.length * full - (lines.length - 1) * PANE_GAP) / 2);
  for (const [first, end] of lines) {
    const width = sumOf(ratios.slice(first, end)) * height + (end - first - 1) * PANE_GAP;
    let x = Math.max(0, (size.width - width) / 2);
    for (let place = first; place < end; place += 1) {
      style(panes[place], { x: `${x}px`, y: `${y}px`, w: `${ratios[place] * height}px`, h: `${height}px` });
      x += ratios[place] * height + PANE_GAP;
    }
    y += full + PANE_GAP;
  }
}

/* What stands below a picture. */

/** The axes on which compared cells of one stage differ; none where they are of several. */
function differingAxes() {
  const [first, ...others] = comparedCells();
  if (others.some(({ stage }) => stage !== first.stage)) return [];
  return axesOf(first).filter(({ name }) => others.some((one) => keyOf(one.axes[name]) !== keyOf(first.axes[name])));
}

/** In what a compared cell differs from the others, in a few words. */
function surveyName(cell) {
  if (view.blind) return "";
  return differingAxes().map((axis) => `${axis.name} ${labelOf(cell, axis)}`).join(" · ") || cell.id;
}

/** The same as an element; where there is little room, the names of the axes are left out. */
function surveyLabel(cell) {
  const parts = differingAxes().flatMap((axis, at) => [...(at ? [" · "] : []), make("span", { className: "axis-name", textContent: `${axis.name} ` }), labelOf(cell, axis)]);
  return make("span", {}, ...(parts.length ? parts : [cell.id]));
}

function paneCaption(cell) {
  const name = make("span", { className: "pane-name" }, make("span", { className: "letter", textContent: letterOf(cell) }), ...(view.blind ? [] : [cellLink(cell, { label: surveyLabel(cell) })]));
  const controls = make("span", { className: "pane-controls", "data-index": cell.index });
  if (!isDiff) controls.append(...paneButtons(cell));
  showControls(controls);
  return [name, controls];
}

function paneButtons(cell) {
  const button = (properties, act) => {
    const made = make("button", { type: "button", tabIndex: -1, ...properties });
    made.addEventListener("click", () => {
      takeInHand(cell.id);
      act();
    });
    return made;
  };
  const name = letterOf(cell);
  const stars = [1, 2, 3, 4, 5].map((count) => button({ "data-stars": count, "aria-label": `${name}: ${starsText(count)}`, textContent: "★" }, () => giveStars([cell], count)));
  const pick = button({ "data-decide": "pick", "aria-label": `${name}: pick`, title: "Pick" }, () => togglePick([cell]));
  pick.append(mark("tick"));
  const reject = button({ "data-decide": "reject", "aria-label": `${name}: reject`, title: "Reject" }, () => toggleReject([cell]));
  reject.append(mark("close"));
  const wins = contest ? [button({ className: "action", textContent: "Keep", "aria-label": `Keep ${name}` }, () => keepWinner(cell))] : [];
  return [make("span", { className: "stars-row", role: "group", "aria-label": `Stars of ${name}` }, ...stars), pick, reject, ...wins];
}

function showControls(controls) {
  const { picked, rejected, stars } = decisionOf(cells[controls.dataset.index]);
  for (const button of controls.querySelectorAll("[data-stars]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.stars) === stars));
    button.classList.toggle("lit", Number(button.dataset.stars) <= stars);
  }
  for (const [act, isSo] of [["pick", picked], ["reject", rejected]]) controls.querySelector(`[data-decide="${act}"]`)?.setAttribute("aria-pressed", String(isSo));
}

/** What is decided about a pane's cell, on its picture and in its name. */
function showPaneDecision(figure) {
  const cell = cellsById.get(figure.dataset.cell);
  figure.dataset.decision = decisionState(cell);
  figure.setAttribute("aria-label", [view.blind ? letterOf(cell) : `${letterOf(cell)}: ${surveyName(cell)}`, decisionWords(cell)].filter(Boolean).join(", "));
  const place = figure.firstElementChild;
  place.querySelector(".verdict")?.remove();
  place.querySelector(".others")?.remove();
  place.append(...verdictOf(cell), ...othersPlate(cell));
}

function showDecisionsCompared() {
  if (!comparison.open) return;
  comparison.querySelectorAll(".pane").forEach(showPaneDecision);
  comparison.querySelectorAll(".pane-controls").forEach(showControls);
}

function startSurvey() {
  const room = document.getElementById("compare-room");
  const point = ({ target }) => {
    const id = target.closest(".pane")?.dataset.cell ?? "";
    if (id === pointed) return;
    pointed = id;
    if (id) takeInHand(id);
  };
  room.addEventListener("pointermove", point);
  room.addEventListener("pointerdown", point);
  comparison.addEventListener("keydown", ({ key }) => {
    if (key === "Tab") pointed = "";
  });
  room.addEventListener("pointerleave", () => {
    if (document.querySelector("dialog.asks[open]")) return; // the note has come over the pictures, not the pointer gone
    pointed = "";
    const focused = document.activeElement.closest?.(".pane");
    if (focused) takeInHand(focused.dataset.cell);
  });
  room.addEventListener("focusin", ({ target }) => {
    const id = target.closest(".pane")?.dataset.cell;
    if (id) takeInHand(id);
  });
  onDecisions(showDecisionsCompared);
  bindKeys(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], "", (_, event) => {
    if (!view.comparing || event.target.closest?.("input, select")) return false;
    const step = WALKS[event.key];
    if (isPairMarked() && step[0]) walkPairs(step[0]);
    else if (modeNow() === "side") walkSurvey(step);
    else if (view.compare.length > 2) stepPairShown(step[0] || step[1], step[0] === 0);
  });
}
