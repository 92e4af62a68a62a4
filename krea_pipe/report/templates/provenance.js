/* Where an image comes from: references, moodboards, styles, source images; and what came of each. */

const MOST_FED = 24;
const ROLES = { image_style_references: "References", image: "Source image", moodboards: "Moodboards", styles: "Styles" };
let fedIndex = null;

/**
 * What requests are drawn after, by a mark of its kind and id: {kind, id, strengths, fed}, `fed` the indexes of cells.
 * Read once: a run that goes on changes no request.
 */
function inputsOfAll() {
  if (fedIndex) return fedIndex;
  fedIndex = new Map();
  for (const cell of cells) {
    for (const { kind, id, strength } of inputsOf(cell)) {
      const known = fedIndex.get(`${kind} ${id}`) ?? { kind, id, strengths: new Set(), fed: [] };
      known.strengths.add(strength);
      if (known.fed.at(-1) !== cell.index) known.fed.push(cell.index);
      fedIndex.set(`${kind} ${id}`, known);
    }
  }
  return fedIndex;
}

/** What one request is drawn after, in its order; a picture is known by its source in each role. */
function inputsOf({ request }) {
  const named = (kind, items, key) => (items ?? []).map((one) => ({ kind, id: one[key], strength: one.strength, role: ROLES[kind] }));
  return [
    ...named("image", request.image ? [request.image] : [], "image"),
    ...named("image_style_references", request.image_style_references, "image"),
    ...named("moodboards", request.moodboards, "id"),
    ...named("styles", request.styles, "id"),
  ];
}

/** The cells that are drawn for this one, or with its image. */
function drawnFor(cell) {
  const all = inputsOfAll();
  const fed = ["image", "image_style_references"].flatMap((kind) => all.get(`${kind} key:${cell.key}`)?.fed ?? []);
  const chained = childrenById().get(cell.id) ?? [];
  return [...new Set([...fed, ...chained])].filter((index) => index !== cell.index).sort((a, b) => a - b);
}

let children = null;

function childrenById() {
  if (children) return children;
  children = new Map();
  for (const { source, index } of cells) {
    if (source) children.set(source, [...(children.get(source) ?? []), index]);
  }
  return children;
}

/** A small picture: of a digest, or an empty mat. */
function smallPicture(address, alt = "") {
  if (!address) return make("span", { className: "inset empty" });
  const image = make("img", { className: "inset", src: address, alt, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(make("span", { className: "inset empty" })));
  return image;
}

function cellPicture(cell) {
  const address = thumbnailOf(cell);
  return address ? smallPicture(address) : make("span", { className: "inset empty", "data-status": cell.status }, mark(cell.status));
}

/** A link to a cell: its label, or its picture and its name for those who do not see it. */
function cellLink(cell, { label = "" } = {}) {
  const href = `#${hashOf({ ...view, cell: cell.id, comparing: false })}`;
  const link = make("a", { className: label ? "cell-link named" : "cell-link", href, title: cell.id, "data-cell": cell.id });
  if (label) link.append(label);
  else link.append(cellPicture(cell), make("span", { className: "unseen", textContent: cell.id }));
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openCell(cell.index);
  });
  return link;
}

/** Links to cells, the first of them at once, the rest when asked for. */
function cellLinks(indexes) {
  const list = make("ul", { className: "cell-links" });
  const add = (some) => list.append(...some.map((index) => make("li", {}, cellLink(cells[index]))));
  add(indexes.slice(0, MOST_FED));
  const rest = indexes.slice(MOST_FED);
  if (!rest.length) return list;
  const more = make("button", { type: "button", className: "quiet", textContent: `and ${withCommas(rest.length)} more` });
  more.addEventListener("click", () => {
    const first = rest.shift();
    add([first, ...rest.splice(0, 10 * MOST_FED)]);
    list.querySelector(`[data-cell="${CSS.escape(cells[first].id)}"]`).focus();
    if (rest.length) more.textContent = `and ${withCommas(rest.length)} more`;
    else more.parentElement.remove();
    if (rest.length) list.append(more.parentElement);
  });
  list.append(make("li", { className: "more" }, more));
  return list;
}

/** "used in 12 cells", which opens to links to them. */
function fedBy(indexes) {
  const details = make("details", { className: "fed" }, make("summary", { textContent: `used in ${countOf(indexes.length, "cell")}` }));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(cellLinks(indexes));
  });
  return details;
}

const countOf = (count, word) => `${withCommas(count)} ${word}${count === 1 ? "" : "s"}`;

/** One input of requests as people know it: {name, picture, digest, cell}. */
function knownAs({ kind, id }) {
  if (kind === "moodboards" || kind === "styles") return { name: id };
  if (id.startsWith("key:")) {
    const cell = cellsByKey.get(id.slice(4));
    return { name: cell?.id ?? `the image of ${id.slice(4, 16)}`, cell, picture: cell && thumbnailOf(cell), digest: cell?.sha256 };
  }
  const reference = referencesBySource.get(id);
  const unknown = id.startsWith("sha256:") ? "an image that is not in this report" : id;
  return { name: reference?.label ?? unknown, picture: thumbnailAt(reference?.sha256), digest: id.startsWith("sha256:") ? id.slice(7) : null };
}

/** An input: its picture, its name, with which strengths, its digest, and the cells that it fed. */
function inputItem({ kind, id, strengths, fed }) {
  const { name, picture, digest, cell } = knownAs({ kind, id });
  const facts = make("p", { className: "input-facts" }, make("span", { textContent: `strength ${strengths.join(", ")}` }));
  if (digest) facts.append(digestButton(digest));
  const hasPicture = kind === "image" || kind === "image_style_references";
  const words = make("div", { className: "input-words" },
    make("p", { className: "input-name" }, cell ? cellLink(cell, { label: name }) : name), facts, fedBy(fed));
  return make("li", { className: "input", "data-source": id }, ...(hasPicture ? [smallPicture(picture)] : []), words);
}

/** What one cell is drawn after, in sections. */
function provenanceNodes(cell) {
  const nodes = [];
  const inputs = inputsOf(cell);
  const source = cellsById.get(cell.source);
  if (source && !inputs.some(({ id }) => id === `key:${source.key}`)) {
    const item = make("li", { className: "input" }, cellPicture(source), make("p", { className: "input-words" }, cellLink(source, { label: source.id })));
    nodes.push(...section("Generated for", make("ul", { className: "inputs" }, item)));
  }
  for (const [kind, title] of Object.entries(ROLES)) {
    const items = inputs.filter((one) => one.kind === kind);
    if (!items.length) continue;
    const listed = items.map((one) => inputItem({ ...one, strengths: [one.strength], fed: inputsOfAll().get(`${kind} ${one.id}`).fed }));
    nodes.push(...section(title, make("ul", { className: "inputs" }, ...listed)));
  }
  const downstream = drawnFor(cell);
  if (downstream.length) nodes.push(...section(`Used in ${countOf(downstream.length, "cell")}`, cellLinks(downstream)));
  return nodes;
}

/** The section at the end of the page: every input of the run that is not an image of the run itself. */
function startReferences() {
  const place = document.getElementById("references");
  const inputs = [...inputsOfAll().values()].filter(({ id }) => !String(id).startsWith("key:"));
  place.hidden = !inputs.length;
  if (!inputs.length) return;
  for (const [kind, title] of Object.entries(ROLES)) {
    const items = inputs.filter((one) => one.kind === kind);
    if (!items.length) continue;
    const listed = items.map((one) => inputItem({ ...one, strengths: [...one.strengths].sort((a, b) => a - b) }));
    const heading = title === "Source image" && items.length > 1 ? "Source images" : title;
    place.append(make("h2", { textContent: heading }), make("ul", { className: "inputs" }, ...listed));
  }
}
