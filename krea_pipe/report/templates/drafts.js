/* Drafts and what became of them: a cell beside the one that it was generated for, and a sheet of such pairs. */

/** Rows of the paired sheet that are made at once; the rest follow as one scrolls. */
const ROWS_AT_ONCE = 40;

/** The cells that were generated for a cell. */
const madeFor = (cell) => (childrenById().get(cell.id) ?? []).map((index) => cells[index]);

/** A cell with its draft before it, and what was made of it after it; null where there is neither. */
function draftPairOf(cell) {
  const family = cell ? [cellsById.get(cell.source), cell, ...madeFor(cell)].filter(Boolean) : [];
  return family.length > 1 ? family.slice(0, MOST_COMPARED) : null;
}

/** Whether an open comparison shows a draft and one of its final images. */
function isDraftPair() {
  const [first, second, ...more] = comparedCells();
  return Boolean(second && second.source === first.id && !more.length);
}

function compareDrafts(cell) {
  const family = draftPairOf(cell);
  if (!family) return false;
  compareFor(family);
  return true;
}

/** In the comparison of a draft and a final image: the pair before or after it on the page. */
function walkDrafts(step) {
  const order = inOrder().filter((index) => cellsById.has(cells[index].source));
  const next = cells[order[order.indexOf(comparedCells()[1].index) + step]];
  if (next) compareFor([cellsById.get(next.source), next]);
}

/* The paired sheet. */

const pairsDialog = make("dialog", { id: "pairs", tabIndex: -1, "aria-labelledby": "pairs-title" });
let pairsWaiting = [];
let pairsHand = "";
let pairsWatch = null;

/** The stages whose cells were generated for cells of this report. */
const chainedStages = () => report.stages.filter(({ name }) => stageMembers.get(name).some((index) => cellsById.has(cells[index].source)));

/** The shown cells of a stage by their drafts: [[draft, [cell, …]], …]. */
function pairsOf(stage) {
  const found = new Map();
  for (const index of inOrder()) {
    const { stage: name, source } = cells[index];
    if (name !== stage || !cellsById.has(source)) continue;
    if (!found.has(source)) found.set(source, []);
    found.get(source).push(cells[index]);
  }
  return [...found].map(([source, made]) => [cellsById.get(source), made]);
}

function drawPairs(stage) {
  const close = make("button", { type: "button", className: "icon", "aria-label": "Close" }, mark("close"));
  close.addEventListener("click", () => pairsDialog.close());
  const pairs = pairsOf(stage);
  const count = counted(pairs.length, "draft");
  const list = make("ul", { className: "pairs" });
  const sentinel = make("div", { className: "pairs-more" });
  pairsWaiting = pairs;
  pairsDialog.replaceChildren(
    make("div", { className: "bar" }, make("h2", { id: "pairs-title", textContent: `${stage} beside its drafts` }), make("span", { className: "count", textContent: pairs.length ? count : "No image of this stage is shown" }), close),
    make("div", { className: "pairs-room" }, list, sentinel));
  addPairs();
  pairsWatch?.disconnect();
  pairsWatch = new IntersectionObserver((seen) => seen.some(({ isIntersecting }) => isIntersecting) && watchEnd(sentinel));
  pairsWatch.observe(sentinel);
}

/** The end of the list is in sight: more rows, until it is not. */
function watchEnd(sentinel) {
  addPairs();
  pairsWatch.unobserve(sentinel);
  if (pairsWaiting.length) pairsWatch.observe(sentinel);
}

function addPairs() {
  const rows = pairsWaiting.splice(0, ROWS_AT_ONCE).map(([draft, made]) => make("li", { className: "pair-row" }, ...[draft, ...made].map(pairTile)));
  pairsDialog.querySelector(".pairs").append(...rows);
}

function compareRow(row) {
  const some = [...row.querySelectorAll(".pair-tile")].map(({ dataset }) => cells[dataset.index]);
  compareFor(some.slice(0, MOST_COMPARED));
}

/** A picture of the paired sheet: it opens the comparison of its row. */
function pairTile(cell) {
  const address = pictureSource(cell);
  const open = make("button", { type: "button", className: "frame", "data-index": cell.index });
  open.append(address ? make("img", { className: "picture", src: address, alt: "", loading: "lazy" }) : noteBox(...noteOf(cell)));
  open.addEventListener("click", () => compareRow(open.closest(".pair-row")));
  const name = make("span", { className: "pair-name" }, make("span", { className: "pair-stage", textContent: `${cell.stage} ` }), nameOf(axesOf(cell), cell));
  const tile = style(make("div", { className: "pair-tile", "data-index": cell.index, "data-status": cell.status }, open, name), { ratio: ratioOf(cell) });
  showTile(tile);
  return tile;
}

/** The tile of a cell whose row has changed, as when its image has come. */
function renewTile(tile) {
  const hadFocus = tile.contains(document.activeElement);
  const fresh = pairTile(cells[tile.dataset.index]);
  tile.replaceWith(fresh);
  if (hadFocus) fresh.firstElementChild.focus();
}

function showTile(tile) {
  const cell = cells[tile.dataset.index];
  const open = tile.firstElementChild;
  tile.dataset.decision = decisionState(cell);
  open.setAttribute("aria-label", [`${cell.stage}, ${nameOf(axesOf(cell), cell)}: ${WORDS[cell.status]}`, decisionWords(cell)].filter(Boolean).join(", "));
  open.querySelector(".verdict")?.remove();
  open.append(...verdictOf(cell));
}

/** The cell of the paired sheet that keys are about: under the pointer, else with the focus. */
function tileInHand() {
  if (!pairsDialog.open) return null;
  const focused = document.activeElement.closest?.(".pair-tile")?.dataset.index;
  return cells[pairsHand || focused] ?? null;
}

function showPairs({ drafts }, before) {
  if (!drafts) {
    if (pairsDialog.open) pairsDialog.close();
    return;
  }
  if (drafts === before.drafts && pairsDialog.open) return;
  drawPairs(drafts);
  if (pairsDialog.open) return;
  pairsDialog.showModal();
  (pairsDialog.querySelector(".frame") ?? pairsDialog).focus();
}

/** In a stage's header: the way to its paired sheet; nothing where its cells have no drafts. */
function pairsButton(stage) {
  if (!chainedStages().includes(stage)) return [];
  const button = make("button", { type: "button", className: "fact-button", textContent: "Beside its drafts" });
  button.addEventListener("click", () => setView({ drafts: stage.name }));
  return [button];
}

function walkTiles([across, down]) {
  const tiles = [...pairsDialog.querySelectorAll(".pair-tile")];
  const from = tiles.indexOf(document.activeElement.closest(".pair-tile"));
  const next = from < 0 ? tiles[0] : across ? tiles[from + across] : paneBelow(tiles, tiles[from], down);
  pairsHand = "";
  next?.firstElementChild.focus();
}

function startDrafts() {
  document.body.append(pairsDialog);
  pairsDialog.addEventListener("cancel", () => setView({ drafts: "" }));
  pairsDialog.addEventListener("close", () => view.drafts && setView({ drafts: "" }));
  pairsDialog.addEventListener("pointermove", ({ target }) => { pairsHand = target.closest(".pair-tile")?.dataset.index ?? ""; });
  pairsDialog.addEventListener("pointerleave", () => { pairsHand = ""; });
  onView(showPairs);
  onDecisions((indexes) => {
    for (const index of indexes) pairsDialog.querySelectorAll(`.pair-tile[data-index="${index}"]`).forEach(showTile);
  });
  onRows((indexes) => {
    for (const index of indexes) pairsDialog.querySelectorAll(`.pair-tile[data-index="${index}"]`).forEach(renewTile);
  });
  bindKeys(["d"], "compare a draft with its final images", compareDrafts, "Compare");
  bindKeys(["D"], "show all final images beside their drafts", () => {
    const [stage] = chainedStages().slice(-1);
    if (!stage || view.comparing || view.cell || view.blind) return false;
    return setView({ drafts: view.drafts ? "" : stage.name });
  }, "Compare");
  bindKeys(["PageUp", "PageDown"], "", (_, { key }) => {
    if (!view.comparing) return false;
    const step = key === "PageDown" ? 1 : -1;
    return isDraftPair() ? walkDrafts(step) : isPairMarked() ? walkPairs(step) : false;
  });
  bindKeys(Object.keys(STEPS), "", (_, { key }) => (pairsDialog.open && !view.comparing && !view.cell ? walkTiles(STEPS[key]) : false));
}
