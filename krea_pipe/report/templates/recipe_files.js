/* The files that recipes made from the image of the open cell. */

/** Where a delivered file is, from here; null on a page that was sent away or is served, which has none of them. */
function deliveredAt({ path, sha256 }) {
  if (!sha256 || page.form !== "folder" || page.previews || report.base === ".") return null;
  return addressOf(isAbsolute(path) ? path : `${report.base}/${path}`);
}

function sizeOf(bytes) {
  const [divisor, unit] = bytes < 1e6 ? [1e3, "kB"] : [1e6, "MB"];
  return `${(bytes / divisor).toLocaleString("en", { maximumSignificantDigits: 3 })} ${unit}`;
}

function deliveredItem(file) {
  const { recipe, format, path, width, height, bytes, notes, error } = file;
  const address = deliveredAt(file);
  const name = address ? make("a", { href: address, target: "_blank", rel: "noopener", textContent: path }) : path;
  const known = [recipe !== format && recipe, format.toUpperCase(), width && `${width} × ${height}`, bytes && sizeOf(bytes)];
  const facts = known.filter((fact) => fact).map((fact) => make("span", { textContent: fact }));
  const words = make("div", { className: "input-words" },
    make("p", { className: "input-name" }, name),
    make("p", { className: "input-facts" }, ...facts),
    ...notes.map((note) => make("p", { className: "input-facts", textContent: note })),
    ...(error ? [make("p", { className: "not-delivered", textContent: `Not delivered: ${error}` })] : []));
  return make("li", { className: "input" }, smallPicture(address), words);
}

function deliveredNodes({ delivered = [] }) {
  return delivered.length ? section("Delivered files", make("ul", { className: "inputs delivered" }, ...delivered.map(deliveredItem))) : [];
}
