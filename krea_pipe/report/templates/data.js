const report = JSON.parse(document.getElementById("report").textContent);
const thumbnails = JSON.parse(document.getElementById("thumbnails").textContent);
const cells = report.cells;
const indexes = new Map(cells.map((cell, index) => [cell, index]));

const WORDS = {
  succeeded: "Rendered",
  reused: "Reused",
  failed: "Failed",
  uncertain: "Uncertain",
  pending: "Pending",
};

/** Make an element: properties by name, `data-*`, `aria-*` and `role` as attributes, then children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

function mark(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#mark-${name}`);
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Set CSS custom properties; the page's policy forbids style attributes, not this. */
function style(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(`--${name}`, value);
  return element;
}

function thumbnailOf(cell) {
  const picture = cell.sha256 && thumbnails[cell.sha256];
  return picture ? `data:image/webp;base64,${picture.webp}` : null;
}

const DRIVE = /^[A-Za-z]:\//;
const isAbsolute = (path) => path.startsWith("/") || DRIVE.test(path);

/** Where the picture is, from here; an absolute path stands for what is on another drive, or in an old report. */
function originalOf(cell) {
  if (!cell.image) return null;
  const path = isAbsolute(cell.image) ? cell.image : `${report.base}/${cell.image}`;
  const [drive = ""] = DRIVE.exec(path) ?? [];
  const address = drive + path.slice(drive.length).split("/").map(encodeURIComponent).join("/");
  return isAbsolute(path) ? `file://${drive && "/"}${address}` : address;
}

/** Width by height: of the picture, else of what was asked for, else a square. */
function ratioOf(cell) {
  const picture = cell.sha256 && thumbnails[cell.sha256];
  if (picture) return picture.w / picture.h;
  const asked = /^([\d.]+):([\d.]+)$/.exec(cell.request.aspect_ratio ?? "");
  const ratio = asked ? asked[1] / asked[2] : 1;
  return ratio > 0.1 && ratio < 10 ? ratio : 1;
}

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

/** Why a cell shows no picture, or what is to know about one that does. */
function whyOf(cell) {
  if (cell.error) return cell.error.message;
  return cell.status === "pending" ? "not done yet; the next run goes on here" : cell.reason;
}
