/* A cell of the sheet: a button with its picture, and a caption. */

/** Below this width marks stand without their words. */
const WORDY = 150;

/** Pictures of at most so many pixels a side are kept smaller than their thumbnails. */
const SMALL_SIDE = 160;

/** Make the element of a cell; placeCell and fillCell say where it is and what it shows. */
function cellNode(index) {
  const open = make("button", { type: "button", className: "frame", tabIndex: -1, "aria-haspopup": "dialog" });
  const caption = make("div", { className: "caption" });
  const node = make("div", { className: "cell", role: "gridcell", id: `c${index}`, "data-index": index }, open, caption);
  return node;
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
    open.replaceChildren(source ? sheetPicture(source, isSmall) : noteBox(...noteOf(cell)));
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

/** A cell has no picture of its own to tell: its button is labelled. On paper there is no time for `paintedPicture`. */
function sheetPicture(source, isSmall) {
  return isPrinting ? make("img", { alt: "", src: source, className: "picture" }) : paintedPicture(source, isSmall);
}

/**
 * The picture as a bitmap that goes when its cell does. Chromium keeps a thousand decoded <img>, 200 MB of them
 * (the item limit of cc/tiles/software_image_decode_cache.cc).
 */
function paintedPicture(source, isSmall) {
  const canvas = make("canvas", { className: "picture", width: 0, height: 0 });
  const image = new Image();
  image.addEventListener("load", () => paint(canvas, image, isSmall));
  image.addEventListener("error", () => canvas.isConnected && canvas.replaceWith(lostPicture()));
  image.src = source;
  loading.set(canvas, image);
  return canvas;
}

const loading = new WeakMap();

/** Pixels in which a small picture is kept: hundreds of them are near the window. */
function smallSize({ naturalWidth, naturalHeight }) {
  const scale = (SMALL_SIDE * devicePixelRatio) / Math.max(naturalWidth, naturalHeight);
  const size = (length) => Math.max(1, Math.round(length * scale));
  return scale < 1 ? { resizeWidth: size(naturalWidth), resizeHeight: size(naturalHeight), resizeQuality: "medium" } : {};
}

async function paint(canvas, image, isSmall) {
  loading.delete(canvas);
  if (!canvas.isConnected) return;
  const bitmap = await createImageBitmap(image, isSmall ? smallSize(image) : {}).catch(() => null);
  if (!bitmap || !canvas.isConnected) {
    bitmap?.close();
    return;
  }
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
  canvas.dataset.painted = "yes";
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
  const picture = node.querySelector(".frame .picture");
  loading.get(picture)?.removeAttribute("src");
  if (picture) picture.width = picture.height = 0;
}
