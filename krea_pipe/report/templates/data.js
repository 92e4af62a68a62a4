/* What the page shows, as it stands in its two JSON slots: the report, and how this page was made. */

const report = takeData("report");
report.cells = report.cells.flatMap(({ count, table }) => rowsOf(table, count));

/**
 * How the page was made: `form` is "folder", "single" or "view"; `live` says that the run goes on; `missing` has the
 * digests without a small picture, `decisions` the picks files by stage.
 */
const page = takeData("page");

/** The data of a slot, whose text is not kept: it has megabytes. */
function takeData(id) {
  const slot = document.getElementById(id);
  const data = JSON.parse(slot.textContent);
  slot.textContent = "";
  return data;
}

const cells = report.cells;
const cellsById = new Map();
const stagesByName = new Map(report.stages.map((stage) => [stage.name, stage]));
const referencesBySource = new Map((report.references ?? []).map((one) => [one.source, one]));
const cellsByKey = new Map();
const rowListeners = [];

/** Whether the page shows two runs: there is nothing to decide then, for cells have ids of this page alone. */
const isDiff = cells.some(({ pair }) => pair !== undefined);

cells.forEach(addCell);

function addCell(cell, index) {
  cell.index = index;
  cellsById.set(cell.id, cell);
  if (!cellsByKey.has(cell.key)) cellsByKey.set(cell.key, cell);
}

/** Be told of cells that have changed, by their indexes. */
function onRows(listener) {
  rowListeners.push(listener);
}

/** Take rows of a run that goes on: each replaces the cell of its id. */
function updateRows(rows) {
  const changed = rows.filter(({ id }) => cellsById.has(id)).map((row) => {
    const { index } = cellsById.get(row.id);
    cells[index] = row;
    cellsByKey.delete(row.key);
    addCell(row, index);
    return index;
  });
  if (changed.length) for (const listener of rowListeners) listener(changed);
}

/** Whether another report has the same cells on the same axes, so that it can be shown in place of this one. */
function hasSameShape(other) {
  const shapeOf = ({ cells: rows, stages, view }) => JSON.stringify([rows.map(({ id }) => id), stages, view ?? null]);
  return shapeOf(report) === shapeOf(other);
}

/** Show another report of the same shape: what the view shows and what is selected stays. */
function takeReport(whole) {
  const { cells: rows, ...head } = whole;
  const changed = rows.filter((row, index) => JSON.stringify(row) !== JSON.stringify({ ...cells[index], index: undefined }));
  Object.assign(report, head);
  referencesBySource.clear();
  for (const one of report.references ?? []) referencesBySource.set(one.source, one);
  updateRows(changed);
}

const WORDS = {
  succeeded: "Rendered",
  reused: "Reused",
  failed: "Failed",
  uncertain: "Uncertain",
  pending: "Pending",
};

const missingPictures = new Set(page.missing);

/** Of a single page: small pictures as data URLs, by digest. They are in the static sheet, which is text to scripts. */
const embeddedPictures = new Map();

/** Take the static sheet away, which is for browsers without scripts, and keep the pictures that it contains. */
function takeStaticSheet() {
  const sheet = document.querySelector("main > noscript");
  if (page.form === "single") {
    for (const [, digest, address] of (sheet?.textContent ?? "").matchAll(/<img data-of="([0-9a-f]{64})" src="([^"]*)"/g)) embeddedPictures.set(digest, address);
  }
  sheet?.remove();
}

/** Where the small picture of a digest is, from here; null where there is none. */
function thumbnailAt(digest) {
  if (!digest || missingPictures.has(digest)) return null;
  return page.form === "single" ? embeddedPictures.get(digest) ?? null : `thumbnails/${digest}.webp`;
}

const thumbnailOf = (cell) => thumbnailAt(cell.sha256);

const DRIVE = /^[A-Za-z]:\//;
const isAbsolute = (path) => path.startsWith("/") || DRIVE.test(path);

/** Which of its places originals were found in last; that of the others is probably the same. */
let originalsAt = "";

/** The places where the original may be, as addresses from here by name, best first: none where there is no original. */
function originalsOf(cell) {
  const { sha256, image } = cell;
  if (page.form === "view") return sha256 ? { stored: `originals/${sha256}` } : {};
  if (page.previews) return previewOf(sha256);
  if (page.form === "single") return {}; // it is made to be sent away
  const places = {};
  if (page.originals && sha256) places.stored = addressOf(`${page.originals}/${sha256.slice(0, 2)}/${sha256}`);
  if (image) places.out = addressOf(isAbsolute(image) ? image : `${report.base}/${image}`);
  if (image && !isAbsolute(image) && report.base !== ".") places.beside = addressOf(image.replace(/^(\.\.\/)+/, ""));
  return places;
}

function previewOf(digest) {
  if (typeof page.previews === "string") return digest ? { preview: `${page.previews}/${digest}.webp` } : {};
  return page.previews[digest] ? { preview: `data:image/webp;base64,${page.previews[digest]}` } : {};
}

/** Where the original is, from here, as far as is known; an absolute path is on another drive, or in an old report. */
function originalOf(cell) {
  const places = originalsOf(cell);
  return places[originalsAt] ?? Object.values(places)[0] ?? null;
}

/** A path as an address, from here. */
function addressOf(path) {
  const [drive = ""] = DRIVE.exec(path) ?? [];
  const address = drive + path.slice(drive.length).split("/").map(encodeURIComponent).join("/");
  return isAbsolute(path) ? `file://${drive && "/"}${address}` : address;
}

/** Width by height: of the picture, else of what was asked for, else a square. */
function ratioOf(cell) {
  if (cell.width && cell.height) return cell.width / cell.height;
  const asked = /^([\d.]+):([\d.]+)$/.exec(cell.request.aspect_ratio ?? "");
  const ratio = asked ? asked[1] / asked[2] : 1;
  return ratio > 0.1 && ratio < 10 ? ratio : 1;
}

const keysOfValues = new Map();

/** A value of an axis as a text that tells 1, true and "1" apart; "" where a cell does not have the axis. */
function keyOf(value) {
  if (value === undefined) return "";
  const known = keysOfValues.get(value);
  if (known !== undefined) return known;
  const key = JSON.stringify(value);
  if (typeof value !== "object") keysOfValues.set(value, key);
  return key;
}

/** The values of an axis that cells use. */
const valuesInUse = (axis, members) => valuesAmong(axis, new Set(members.map((cell) => keyOf(cell.axes[axis.name]))));

/** The values of an axis with these keys: in the order of the file, then what the file does not list. */
function valuesAmong(axis, used) {
  const values = axis.values.map(({ value, label }) => ({ key: keyOf(value), label }));
  const known = new Set(values.map(({ key }) => key));
  for (const key of used) {
    if (!known.has(key)) values.push({ key, label: key === "" ? "–" : plain(JSON.parse(key)) });
  }
  return values.filter(({ key }) => used.has(key));
}

function labelOf(cell, axis) {
  const key = keyOf(cell.axes[axis.name]);
  const listed = axis.values.find(({ value }) => keyOf(value) === key);
  return listed ? listed.label : plain(cell.axes[axis.name]);
}

/** What tells a cell from its neighbours: its labels on the given axes. */
function nameOf(axes, cell) {
  return axes.map((axis) => labelOf(cell, axis)).join(" · ") || cell.id;
}

const axesOf = (cell) => stagesByName.get(cell.stage)?.axes ?? [];

/** Why a cell shows no picture, or what is to know about one that does. */
function whyOf(cell) {
  if (cell.error) return cell.error.message;
  if (cell.status !== "pending") return cell.reason;
  return page.live ? "not done yet" : "not done yet; the next run continues with it";
}

/** A whole number with its thousands apart; `toLocaleString` takes 15 ms when it is called first. */
const withCommas = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");

function dollars(text) {
  const [whole, part = ""] = text.split(".");
  return `$${whole}.${part.replace(/0+$/, "").padEnd(2, "0")}`;
}

function moment(text) {
  return text.replace("T", " ").replace(/(\.\d+)?(Z|\+00:00)$/, " UTC");
}

function plain(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value, null, 1) : String(value);
}
