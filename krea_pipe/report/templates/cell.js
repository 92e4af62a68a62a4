/* A cell of the sheet: a button with its picture, and a caption. */

/** Below this width marks stand without their words. */
const WORDY = 150;

/** Pictures of at most so many pixels a side are kept smaller than their thumbnails. */
const SMALL_SIDE = 160;

/** Elements of cells that are out of sight, for those that come into sight: new ones cost 100 MB of garbage on the way to the end. */
const spareNodes = [];

/** The element of a cell; placeCell and fillCell say where it is and what it shows. */
function cellNode(index) {
  const node = spareNodes.pop() ?? newCellNode();
  node.id = `c${index}`;
  node.dataset.index = index;
  return node;
}

function newCellNode() {
  const open = make("button", { type: "button", className: "frame", tabIndex: -1, "aria-haspopup": "dialog" });
  return make("div", { className: "cell", role: "gridcell" }, open, make("div", { className: "caption" }));
}

const pictureSource = (cell) => thumbnailOf(cell) ?? originalOf(cell);

/** Bring an element up to its cell's state; a picture that is the same stays as it is. */
function fillCell(node, layout) {
  const cell = cells[Number(node.dataset.index)];
  const open = node.firstElementChild;
  const source = pictureSource(cell);
  const isSmall = Math.max(parseFloat(node.style.width), parseFloat(open.style.height)) <= SMALL_SIDE;
  const shown = source ? `${isSmall ? "small " : ""}${source}` : `${cell.status} ${whyOf(cell)}`;
  if (open.dataset.shows !== digestText(shown)) {
    open.dataset.shows = digestText(shown);
    open.classList.toggle("bare", !source);
    fillFrame(open, cell, source, isSmall);
  }
  node.dataset.status = cell.status;
  node.dataset.decision = decisionState(cell);
  open.querySelector(".verdict")?.remove();
  open.append(...verdictOf(cell));
  markSelected(node);
  labelCell(open, cell);
  fillCaption(open.nextElementSibling, cell, layout);
}

/** A data URL is too long to be kept twice; its end tells pictures apart. */
const digestText = (text) => (text.length > 400 ? `${text.length} ${text.slice(-60)}` : text);

function labelCell(open, cell) {
  const decision = decisionWords(cell);
  const parts = [`${view.blind ? saidName(cell) : fullName(cell)}: ${WORDS[cell.status]}`, cell.error?.message, decision, cell.adopted && "adopted", view.blind ? "" : checkWords(cell)];
  open.setAttribute("aria-label", parts.filter(Boolean).join(", "));
  open.title = view.blind ? "" : [cell.id, whyOf(cell)].filter(Boolean).join("\n");
}

/** The labels on all axes, from the tables: nameOf would look each of them up in the file's list. */
function fullName({ stage, index, id }) {
  const owner = stagesByName.get(stage);
  return owner.axes.map(({ name }) => labelIn(axisTable(owner, name), index)).join(" · ") || id;
}

function noteBox(...nodes) {
  return make("span", { className: "note" }, ...nodes);
}

/** A cell has no picture of its own to tell: its button is labelled. On paper there is no time to paint one. */
function fillFrame(open, cell, source, isSmall) {
  const known = open.querySelector("canvas.picture");
  if (source && !isPrinting) {
    const canvas = known ?? paintedPicture();
    if (!known) open.replaceChildren(canvas);
    loadPicture(canvas, source, isSmall);
    return;
  }
  if (known) stopLoading(known);
  open.replaceChildren(source ? make("img", { alt: "", src: source, className: "picture" }) : noteBox(...noteOf(cell)));
}

/** By canvas: {image, source, isSmall}, where `source` is what the canvas is to show, or "". */
const loads = new WeakMap();

/**
 * A picture as a bitmap that goes when its cell does. Chromium keeps a thousand decoded <img>, 200 MB of them
 * (the item limit of cc/tiles/software_image_decode_cache.cc).
 */
function paintedPicture() {
  const canvas = make("canvas", { className: "picture", width: 0, height: 0 });
  const load = { image: new Image(), source: "", isSmall: false };
  load.image.addEventListener("load", () => paint(canvas, load));
  load.image.addEventListener("error", () => load.source && canvas.isConnected && canvas.replaceWith(lostPicture()));
  loads.set(canvas, load);
  return canvas;
}

function loadPicture(canvas, source, isSmall) {
  const load = loads.get(canvas);
  Object.assign(load, { source, isSmall });
  if (scrollsFast) passedBy.add(canvas);
  else load.image.src = source;
}

/** What comes into sight faster than one can see is loaded once it stays. */
const passedBy = new Set();

function loadPassedBy() {
  for (const canvas of passedBy) {
    const { image, source } = loads.get(canvas);
    if (source) image.src = source;
  }
  passedBy.clear();
}

function stopLoading(canvas) {
  const load = loads.get(canvas);
  load.source = "";
  load.image.removeAttribute("src");
  passedBy.delete(canvas);
}

/** Pixels in which a small picture is kept: hundreds of them are near the window. */
function smallSize({ naturalWidth, naturalHeight }) {
  const scale = (SMALL_SIDE * devicePixelRatio) / Math.max(naturalWidth, naturalHeight);
  const size = (length) => Math.max(1, Math.round(length * scale));
  return scale < 1 ? { resizeWidth: size(naturalWidth), resizeHeight: size(naturalHeight), resizeQuality: "medium" } : {};
}

async function paint(canvas, load) {
  const { image, source, isSmall } = load;
  if (!source) return;
  const bitmap = await createImageBitmap(image, isSmall ? smallSize(image) : {}).catch(() => null);
  if (!bitmap) return;
  if (!decoded.length) requestAnimationFrame(paintDecoded);
  decoded.push({ canvas, load, source, bitmap });
}

/** What is painted in the next frame: a change of a canvas between two calls of `createImageBitmap` costs a layout. */
const decoded = [];

function paintDecoded() {
  for (const { canvas, load, source, bitmap } of decoded.splice(0)) {
    if (load.source !== source) {
      bitmap.close();
      continue;
    }
    load.image.removeAttribute("src"); // its data is not needed any longer
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
    canvas.dataset.painted = "yes";
  }
}

const lostPicture = () => noteBox(make("span", { className: "why", textContent: "The picture is missing" }));

function flagOf(name, text) {
  return make("span", { className: "flag", title: text, "data-flag": name }, mark(name), make("span", { className: "flag-word", textContent: text }));
}

function flagsOf(cell) {
  const flags = [];
  const hasPicture = Boolean(pictureSource(cell));
  if (hasPicture && cell.status !== "succeeded") flags.push(flagOf(cell.status, WORDS[cell.status].toLowerCase()));
  if (cell.adopted) flags.push(flagOf("uncertain", "adopted"));
  if (typeof cell.distance === "number" && cell.axes.run !== "before") {
    flags.push(make("span", { className: "distance", title: "Distance between the two runs", textContent: cell.distance.toFixed(2) }));
  }
  return view.blind ? flags : [...flags, ...checkFlags(cell)];
}

/** What the heads do not say, then the marks; they are reached by keys and menus, so that a grid has one tab stop. */
function fillCaption(caption, cell, layout) {
  const text = whatOf(layout, cell.index);
  const marks = make("span", { className: "marks" }, ...flagsOf(cell), ...decisionMarks(cell), ...(view.blind ? [] : compareMarks(cell)));
  for (const control of marks.querySelectorAll("button, a, input")) control.tabIndex = -1;
  caption.replaceChildren(...(text ? [make("span", { className: "what", textContent: text })] : []), marks);
}

/** Put an element where its layout says. */
function placeCell(node, place, line, layout) {
  node.style.left = `${place.x}px`;
  node.style.top = `${line.strap + 6}px`;
  node.style.width = `${place.width}px`;
  const open = node.firstElementChild;
  open.style.height = `${line.picture}px`;
  open.classList.toggle("small", place.width < WORDY || line.picture < 110);
  open.classList.toggle("tiny", line.picture < 76 || place.width < 76);
  node.classList.toggle("terse", place.width < WORDY);
  node.setAttribute("aria-colindex", place.at + 1 + (layout.label || layout.rowAxis ? 1 : 0));
}

/** Let go of a cell that is no longer near the window: its picture need neither go on loading nor stay. */
function releaseCell(node) {
  const open = node.firstElementChild;
  const canvas = open.querySelector("canvas.picture");
  if (canvas) {
    stopLoading(canvas);
    if (canvas.dataset.painted) canvas.width = canvas.height = 0;
    delete canvas.dataset.painted;
  }
  delete open.dataset.shows;
  node.remove();
  spareNodes.push(node);
}
