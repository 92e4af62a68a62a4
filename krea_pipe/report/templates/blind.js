/* Deciding blind: names are hidden and the order is shuffled; afterwards the page shows what was chosen. */

const MOST_REVEALED = 200;

/** The cells that were decided about while the page was blind, by index. */
const decidedBlind = new Set();
const shuffledPlaces = { seed: "", places: new Map() };

/** The place of a cell in the order of a seed: a number that looks like chance, and is always the same. */
function shuffledPlace({ id, key }) {
  if (shuffledPlaces.seed !== view.blind) Object.assign(shuffledPlaces, { seed: view.blind, places: new Map() });
  const { places } = shuffledPlaces;
  if (!places.has(id)) places.set(id, mixed(`${view.blind} ${key} ${id}`));
  return places.get(id);
}

/** A hash of a text, 32 bits: FNV-1a, and its bits mixed once more. */
function mixed(text) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}

const BLIND_ORDER = { name: "blind", of: shuffledPlace, ways: ["shuffled", "shuffled"] };

/** Compared cells in the order in which they stand: shuffled while the page is blind, but a contest keeps its places. */
function inBlindOrder(some) {
  return view.blind && !contest ? [...some].sort((a, b) => shuffledPlace(a) - shuffledPlace(b)) : some;
}

/** How a cell is called where the reader may see it: by its labels, or by its place alone while the page is blind. */
function saidName(cell) {
  if (!view.blind) return nameOf(axesOf(cell), cell);
  const place = shownCells().indexOf(cell.index);
  return place < 0 ? "Picture" : `Picture ${place + 1}`;
}

/** The panel of an open cell while the page is blind: what one decides, and nothing that names the cell. */
function blindPanel(cell) {
  return [
    make("h2", { id: "detail-title", textContent: saidName(cell) }),
    decisionEditor(cell),
    make("p", { className: "blind-words", textContent: "Names, prompts and parameters are hidden. Press b to show them." }),
  ];
}

function toggleBlind() {
  if (view.blind) reveal();
  else beginBlind();
}

function beginBlind() {
  decidedBlind.clear();
  setView({ blind: Math.random().toString(36).slice(2, 8), values: "", ladder: "", drafts: "" });
  announce("Names are hidden and the order is shuffled");
}

/** End it, and show what was chosen. */
function reveal() {
  setView({ blind: "" });
  const chosen = [...decidedBlind].map((index) => cells[index]).filter(decisionState);
  if (chosen.length) showRevealed(chosen);
  else announce("Names are shown");
}

/** The best first, the rejected last. */
function byVerdict(a, b) {
  const worth = (cell) => (decisionOf(cell).rejected ? -1 : decisionOf(cell).stars || 0.5);
  return worth(b) - worth(a) || a.index - b.index;
}

function showRevealed(chosen) {
  const picked = chosen.filter((cell) => decisionOf(cell).picked).length;
  const items = [...chosen].sort(byVerdict).slice(0, MOST_REVEALED).map((cell) => {
    const text = make("span", {}, make("strong", { textContent: decisionWords(cell) }), make("br"), `${cell.stage} · ${nameOf(axesOf(cell), cell)}`);
    return make("li", { "data-cell": cell.id }, cellPicture(cell), text);
  });
  const close = make("button", { className: "action", textContent: "Close" });
  const words = report.stages.filter(({ name }) => chosen.some(({ stage }) => stage === name)).map((stage) => blindSentence(stage, chosen));
  const form = make("form", { method: "dialog" },
    make("h2", { id: "revealed-title", textContent: `Chosen blind: ${picked} picked, ${chosen.length - picked} rejected` }),
    ...words.filter(Boolean).map((textContent) => make("p", { className: "revealed-words", textContent })),
    make("ul", { className: "revealed" }, ...items), close);
  const dialog = make("dialog", { id: "revealed", className: "small", "aria-labelledby": "revealed-title" }, form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  close.focus({ preventScroll: true });
}

/** Which values of a stage were preferred among the cells that were decided blind. */
function blindSentence(stage, chosen) {
  const members = chosen.filter((cell) => cell.stage === stage.name).map(({ index }) => index);
  const axes = tellingAxes(stage);
  return axes.length ? winningSentence(axes, (axis) => tallies(axis.values.length, members, (index) => axis.at[index], decisionOf)) : "";
}

const revealButton = make("button", { type: "button", id: "reveal", className: "chip", hidden: true, textContent: "Blind: reveal" });

function showBlind(now, before) {
  if (now.blind === before.blind && revealButton.hidden !== Boolean(now.blind)) return;
  document.documentElement.toggleAttribute("data-blind", Boolean(now.blind));
  revealButton.hidden = !now.blind;
  if (comparison.open) drawComparison();
  if (openedCell()) showCell(openedCell());
  drawBar();
  drawShow();
}

function startBlind() {
  reviewButton.after(revealButton);
  revealButton.addEventListener("click", () => {
    reveal();
    reviewButton.focus();
  });
  onView(showBlind);
  onDecisions((indexes) => {
    if (view.blind) for (const index of indexes) decidedBlind.add(index);
  });
  bindKeys(["b"], "decide blind: hide names and shuffle; press again to see what you chose", () => (isDiff || document.querySelector("dialog.small[open], dialog.asks[open]") ? false : toggleBlind()), "Decide");
  addReviewItem({ label: "Decide blind", key: "b", act: toggleBlind, isOn: () => Boolean(view.blind) });
}
