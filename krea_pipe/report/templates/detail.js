/* The open cell: its picture large, and the way to the next one. What is open is `view.cell`. */

const detail = document.getElementById("detail");
const large = document.getElementById("detail-image");
let largeZoom = null;

function openCell(index) {
  setView({ cell: cells[index].id, comparing: false });
}

const openedCell = () => (view.cell ? cellsById.get(view.cell) : undefined);

function showOpened(now, before) {
  const cell = openedCell();
  if (!cell) {
    if (detail.open) detail.close();
    if (before.cell && !now.comparing) returnFocus(before.cell);
    return;
  }
  const isNew = now.cell !== before.cell || !detail.open;
  if (!detail.open) {
    detail.showModal();
    detail.focus();
  }
  if (isNew) showCell(cell);
  showPosition(cell);
  showMarked(cell);
}

function returnFocus(id) {
  const { index } = cellsById.get(id) ?? {};
  if (index !== undefined && typeof revealCell === "function") revealCell(index, { focus: true });
}

function showCell(cell) {
  const text = document.getElementById("detail-text");
  text.replaceChildren(...panelOf(cell));
  showPicture(cell);
  text.scrollTop = 0;
}

/** Show the thumbnail at once, then the original if it is where the report says. */
function showPicture(cell) {
  const small = thumbnailOf(cell);
  const original = originalOf(cell);
  const note = document.getElementById("detail-note");
  const isBare = !small && !original;
  largeZoom.rest();
  large.parentElement.hidden = isBare;
  note.hidden = !isBare;
  note.replaceChildren(...(isBare ? noteOf(cell) : []));
  note.parentElement.dataset.status = cell.status;
  tellOfPicture(page.form === "single" && small && !original ? "This file contains only thumbnails." : "");
  large.alt = view.blind ? saidName(cell) : cell.prompt || cell.id;
  large.dataset.shows = "thumbnail";
  if (small) large.src = small;
  else large.removeAttribute("src");
  if (original) loadOriginal(cell);
}

/** Say quietly why the picture is not the original. */
function tellOfPicture(text) {
  const line = document.getElementById("detail-lost");
  line.textContent = text;
  line.hidden = !text;
}

/** Show the original from the first place that has it. */
async function loadOriginal(cell) {
  const isStillOpen = () => openedCell()?.id === cell.id;
  const places = originalsOf(cell);
  const names = Object.keys(places).sort((one, other) => (other === originalsAt) - (one === originalsAt));
  for (const name of names) {
    const picture = await loaded(places[name]);
    if (!isStillOpen()) return;
    if (!picture || !mayBeOf(cell, picture, name, places)) continue;
    originalsAt = name;
    large.src = picture.src;
    large.dataset.shows = "original";
    showOriginalLink(places[name]);
    if (name !== "stored" && places.stored) tellOfPicture("This is the file in the output folder, which a later run may have replaced.");
    return;
  }
  showOriginalLink(null);
  tellOfPicture([`The original is missing${thumbnailOf(cell) ? "; this is its thumbnail" : ""}.`, ...whereOf(cell)].join(" "));
}

/** A picture once it is loaded; null where there is none. */
function loaded(address) {
  return new Promise((found) => {
    const probe = new Image();
    probe.addEventListener("load", () => found(probe));
    probe.addEventListener("error", () => found(null));
    probe.src = address;
  });
}

/** A file of the output folder is of another run if it has another size. */
function mayBeOf({ width, height }, picture, name, places) {
  if (name === "stored" || !places.stored || !width || !height) return true;
  return picture.naturalWidth === width && picture.naturalHeight === height;
}

/** Where a lost original was, and how a report keeps its originals. */
function whereOf({ image }) {
  if (page.form !== "folder" || page.previews || !image) return [];
  return [`The run wrote it to ${image}. "krea-pipe report --pack FILE.zip" makes a report that contains its originals.`];
}

function showOriginalLink(address) {
  const link = document.getElementById("open-original");
  if (!link) return;
  link.hidden = !address;
  if (address) link.href = address;
}

/** The cells as they stand on the page, or those of them that a slideshow is about. */
const inOrder = () => shownWay ?? shownCells();

function showPosition(cell) {
  const order = inOrder();
  const place = order.indexOf(cell.index);
  const count = withCommas(order.length);
  document.getElementById("position").textContent = place < 0 ? "filtered out" : `${withCommas(place + 1)} of ${count}`;
  document.getElementById("previous").disabled = besides(cell, -1) === undefined;
  document.getElementById("next").disabled = besides(cell, 1) === undefined;
}

/** The cell before or after another on the page; from one that is filtered out, the first or the last. */
function besides(cell, step) {
  const order = inOrder();
  const place = order.indexOf(cell.index);
  if (place < 0) return step > 0 ? order[0] : order.at(-1);
  return order[place + step];
}

/** Walk an axis; at the end of a row go on with the next one, as in reading. */
function walk(cell, [across, down]) {
  const along = typeof neighbourOf === "function" ? neighbourOf(cell.index, across, down) : undefined;
  const next = along ?? (across ? besides(cell, across) : undefined);
  if (next !== undefined) openCell(next);
}

const WALKS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function bindDetailKeys() {
  const isFree = (event) => !event.target.closest?.("input, select, textarea");
  bindKeys(["ArrowLeft", "ArrowRight"], "", (cell, event) => {
    if (!view.cell || view.comparing || !isFree(event)) return false;
    return walk(cell, WALKS[event.key]);
  });
  bindKeys(["ArrowUp", "ArrowDown"], "", (cell, event) => {
    if (!view.cell || view.comparing || !isFree(event) || event.target.closest?.(".panel")) return false;
    return walk(cell, WALKS[event.key]);
  });
  bindKeys(["+", "=", "-", "."], "zoom in, zoom out, reset", (cell, event) => {
    if (!view.cell || view.comparing) return false;
    return zoomByKey(largeZoom, event.key);
  }, "View");
}

/** The buttons of a zoom: out, the level, which leads back to all of it, and in. */
function showLevel(name, scale) {
  const level = document.getElementById(`${name}-fit`);
  level.textContent = scale > 1 ? `${Math.round(scale * 100)} %` : "Fit";
  level.setAttribute("aria-label", scale > 1 ? `${level.textContent}: reset zoom` : "The whole picture is shown");
  level.disabled = scale <= 1;
  document.getElementById(`${name}-out`).disabled = scale <= 1;
}

function startDetail() {
  large.draggable = false;
  largeZoom = zoomTogether([large], (scale) => showLevel("zoom", scale));
  showLevel("zoom", 1);
  const onPress = (id, act) => document.getElementById(id).addEventListener("click", act);
  const go = (step) => {
    const next = besides(openedCell(), step);
    if (next !== undefined) openCell(next);
  };
  onPress("previous", () => go(-1));
  onPress("next", () => go(1));
  onPress("close", () => setView({ cell: "" }));
  onPress("zoom-in", () => zoomByKey(largeZoom, "+"));
  onPress("zoom-out", () => zoomByKey(largeZoom, "-"));
  onPress("zoom-fit", () => zoomByKey(largeZoom, "."));
  onPress("detail-mark", () => toggleCompare(openedCell()));
  detail.addEventListener("cancel", () => setView({ cell: "" })); // at once: the next key is about the sheet already
  detail.addEventListener("close", () => {
    if (view.cell) setView({ cell: "" });
  });
  bindDetailKeys();
  onView(showOpened);
  onRows((changed) => {
    if (openedCell() && changed.includes(openedCell().index)) showCell(openedCell());
  });
  onceOpened(startReferences);
}
