/* Shelves: the line over a stage that says which axes stand on rows and columns, and lets them be moved. */

const SHELVES = { rows: "Rows", columns: "Columns", aside: "In the cell" };

function startShelves(sheet) {
  const { stage, header } = sheet;
  if (!stage.axes.length) return;
  const parts = Object.entries(SHELVES).map(([shelf, name]) => shelfNode(sheet, shelf, name));
  const swap = make("button", { type: "button", className: "quiet swap", title: "Swap rows and columns", "aria-label": `Swap rows and columns of ${stage.name}` }, mark("swap"));
  swap.addEventListener("click", () => swapShelves(stage));
  parts.splice(2, 0, swap);
  sheet.shelves = make("div", { className: "shelves", role: "group", "aria-label": `Axes of ${stage.name}` }, ...parts);
  header.append(sheet.shelves);
}

function shelfNode(sheet, shelf, name) {
  const list = make("ul", { className: "shelf-axes", "data-shelf": shelf, "aria-label": `${name} of ${sheet.stage.name}` });
  const box = make("div", { className: "shelf", "data-shelf": shelf }, make("span", { className: "shelf-name", textContent: `${name}:` }), list);
  Sortable.create(list, {
    group: sheet.stage.name,
    animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 120,
    delay: 150,
    delayOnTouchOnly: true,
    forceFallback: true,
    fallbackTolerance: 4,
    filter: ".step",
    preventOnFilter: false,
    onStart: () => sheet.shelves.classList.add("dragging"),
    onEnd: (event) => dropAxis(sheet, event),
  });
  return box;
}

function dropAxis({ stage, shelves }, { item, to, newIndex }) {
  shelves.classList.remove("dragging");
  shelves.dataset.drawn = "";
  moveAxis(stage, item.dataset.axis, to.dataset.shelf, newIndex);
}

/** Bring the line up to the view: which axis is where, and how far it is filtered. */
function drawShelves(sheet, indexes) {
  const { stage, shelves } = sheet;
  drawCount(sheet, indexes);
  if (!shelves) return;
  const pivot = pivotOf(stage);
  const standing = { ...pivot, aside: asideIn(stage, pivot) };
  const drawn = JSON.stringify([standing, stage.axes.map(({ name }) => view.only[name] ?? null), view.sort, cycling !== 0 && steppedAxis]);
  if (shelves.dataset.drawn === drawn) return;
  shelves.dataset.drawn = drawn;
  shelves.classList.toggle("resting", view.sort !== "");
  const focused = document.activeElement?.closest?.(".axis, .step")?.parentElement?.dataset.axis;
  const { way } = document.activeElement?.dataset ?? {};
  const hadFocus = shelves.contains(document.activeElement);
  for (const list of shelves.querySelectorAll(".shelf-axes")) {
    const names = standing[list.dataset.shelf];
    list.replaceChildren(...names.map((name) => axisChip(sheet, name)));
    list.parentElement.classList.toggle("empty", names.length === 0);
  }
  const isFlow = !pivot.rows.length && !pivot.columns.length;
  shelves.querySelector('.shelf[data-shelf="aside"] .shelf-name').textContent = `${isFlow ? "In lines" : SHELVES.aside}:`;
  shelves.querySelector(".swap").hidden = isFlow;
  if (!hadFocus || !focused) return;
  const button = axisButton(sheet, focused);
  (button?.parentElement.querySelector(`.step[data-way="${way}"]`) ?? button)?.focus({ preventScroll: true });
}

const axisButton = ({ shelves }, name) => shelves.querySelector(`[data-axis="${CSS.escape(name)}"] .axis`);

function axisChip(sheet, name) {
  const all = axisTable(sheet.stage, name).values;
  const chosen = view.only[name] && all.filter(({ key }) => view.only[name].includes(key));
  const button = make("button", { type: "button", className: "axis", "aria-haspopup": "menu", "aria-expanded": "false" }, name);
  if (chosen && chosen.length !== 1) button.append(make("span", { className: "axis-filter", textContent: ` ${chosen.length} of ${all.length}` }));
  button.addEventListener("click", () => openAxisMenu(sheet, name, button));
  return make("li", { "data-axis": name }, button, ...stepNodes(name));
}

function drawCount(sheet, indexes) {
  sheet.header.querySelector(".count").textContent = countText(sheet, indexes);
}

/** "12 of 36 images, 2 failed". */
function countText({ stage }, indexes) {
  const all = stageMembers.get(stage.name).length;
  const count = (status) => indexes.filter((index) => cells[index].status === status).length;
  const odd = ["failed", "uncertain", "pending"].filter(count).map((status) => `${count(status)} ${status}`);
  const images = `${all} ${all === 1 ? "image" : "images"}`;
  return [indexes.length === all ? images : `${indexes.length} of ${images}`, ...odd].join(", ");
}
