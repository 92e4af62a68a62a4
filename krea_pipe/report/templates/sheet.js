const buttons = new Map();

/** The first pictures are there when the page is: in print, in screenshots and without scrolling. */
const EARLY = 60;

const nearby = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) reveal(target);
  },
  { rootMargin: "800px 400px" },
);

/** Give an image its source only when it comes near: data URLs would all be decoded at once. */
function reveal(image) {
  nearby.unobserve(image);
  const cell = cells[image.dataset.index];
  if (!image.src) image.src = thumbnailOf(cell) ?? originalOf(cell);
}

/** The picture needs no text of its own: its button is labelled. A lost file becomes a note. */
function pictureOf(cell, index) {
  const early = index < EARLY;
  const image = make("img", { alt: "", loading: early ? "eager" : "lazy", decoding: early ? "sync" : "async", "data-index": index });
  image.addEventListener("error", () => {
    if (image.isConnected) image.replaceWith(make("span", { className: "note" }, make("span", { className: "why", textContent: "The picture is not where the report says" })));
  });
  if (early) reveal(image);
  else nearby.observe(image);
  return image;
}

function noteOf(cell) {
  return [mark(cell.status), make("strong", { textContent: WORDS[cell.status] }), make("span", { className: "why", textContent: whyOf(cell) })];
}

function cellButton(shown, cell) {
  const index = indexes.get(cell);
  const what = nameOf(shown, cell);
  const hasPicture = Boolean(cell.image || thumbnailOf(cell));
  const frame = make("span", { className: "frame" });
  frame.append(hasPicture ? pictureOf(cell, index) : make("span", { className: "note" }, ...noteOf(cell)));
  const caption = make("span", { className: "caption" }, make("span", { className: "what", textContent: what }));
  if (hasPicture && cell.status !== "succeeded") {
    caption.append(make("span", { className: "flag" }, mark(cell.status), WORDS[cell.status].toLowerCase()));
  }
  if (cell.adopted) caption.append(make("span", { className: "flag" }, mark("uncertain"), "adopted"));
  const button = make("button", {
    type: "button",
    id: `c${index}`,
    className: "cell",
    tabIndex: -1,
    title: `${cell.id}\n${whyOf(cell)}`,
    "data-status": cell.status,
    "aria-label": `${what}: ${WORDS[cell.status]}${cell.error ? `, ${cell.error.message}` : ""}`,
    "aria-haspopup": "dialog",
  }, frame, caption);
  button.addEventListener("click", () => openDetail(index));
  buttons.set(index, button);
  return button;
}

function slotOf(shown, members, width, height) {
  const slot = make("div", { className: members.length ? "slot" : "slot gap", role: "gridcell" });
  if (!members.length) slot.setAttribute("aria-label", "not in the matrix");
  slot.append(...members.map((cell) => cellButton(shown, cell)));
  return style(slot, { w: width.toFixed(4), h: height.toFixed(4) });
}

function namesLine({ rowAxis, columnAxis, columns }) {
  const corner = make("div", { className: "name-of corner", role: "columnheader", textContent: `${rowAxis.name} \u2193\n${columnAxis.name} \u2192` });
  const names = columns.map(({ label }) => make("div", { className: "name-of", role: "columnheader", textContent: label, title: label }));
  return make("div", { className: "line names", role: "row" }, corner, ...names);
}

function cellsLine(layout, line) {
  const shown = [layout.columnAxis, layout.rowAxis];
  const name = make("div", { className: "name-of row", role: "rowheader", textContent: line.label, title: line.label });
  const slots = line.slots.map((slot, at) => slotOf(shown, slot, layout.widths[at], line.height));
  return style(make("div", { className: "line cells", role: "row" }, name, ...slots), { h: line.height.toFixed(4) });
}

function headingOf(labels) {
  const parts = labels.flatMap(({ name, label }, at) => [
    ...(at ? [make("span", { className: "dot", textContent: "/" })] : []),
    make("span", { className: "name", textContent: `${name} ` }),
    label,
  ]);
  return make("h3", {}, ...parts);
}

function blockOf(stage, layout, block) {
  const lines = block.lines.map((line) => cellsLine(layout, line));
  const sheet = make("div", { className: "sheet", role: "grid", "aria-label": [stage.name, ...block.labels.map(({ label }) => label)].join(", ") });
  sheet.append(namesLine(layout), ...lines);
  style(sheet, {
    tracks: layout.widths.map((width) => `minmax(calc(${width.toFixed(4)} * var(--u) * var(--least)), ${width.toFixed(4)}fr)`).join(" "),
    sum: layout.widths.reduce((sum, width) => sum + width, 0).toFixed(4),
    columns: layout.columns.length,
  });
  return make("section", { className: "block" }, ...(block.labels.length ? [headingOf(block.labels)] : []), sheet);
}

function flowBlock(stage, layout) {
  const slots = layout.flow.map((cell) => {
    const root = Math.sqrt(ratioOf(cell));
    return slotOf(layout.axes, [cell], root, 1 / root);
  });
  const line = make("div", { className: "flow", role: "row" }, ...slots);
  const flow = make("div", { role: "grid", "aria-label": stage.name }, line);
  return make("section", { className: "block" }, flow);
}

function acrossPicker(stage, layout, redraw) {
  const options = stage.axes.map(({ name }) => make("option", { value: name, textContent: name, selected: name === layout.columnAxis.name }));
  const select = make("select", {}, ...options);
  select.addEventListener("change", () => redraw(select.value));
  return make("label", { className: "across" }, "Across: ", select);
}

function countsOf(members) {
  const count = (status) => members.filter((cell) => cell.status === status).length;
  const odd = ["failed", "uncertain", "pending"].filter(count).map((status) => `${count(status)} ${status}`);
  return [`${members.length} ${members.length === 1 ? "image" : "images"}`, ...odd].join(", ");
}

/** The one axis of a stage that has no grid to name it. */
function flowAxis(layout) {
  return layout.columnAxis ? [] : layout.axes.map(({ name }) => name);
}

/** Fill a stage's section; `across` names the axis that runs over the columns. */
function drawStage(section, stage, across) {
  const layout = arrange(stage, across);
  const header = make("header", {}, make("h2", { textContent: stage.name }), make("p", { textContent: [countsOf(layout.members), ...flowAxis(layout)].join(", by ") }));
  if (layout.columnAxis) header.append(acrossPicker(stage, layout, (name) => redrawStage(section, stage, name)));
  const blocks = layout.columnAxis ? layout.blocks.map((block) => blockOf(stage, layout, block)) : [flowBlock(stage, layout)];
  section.replaceChildren(header, ...blocks);
  for (const grid of section.querySelectorAll('[role="grid"]')) startRoving(grid);
}

function redrawStage(section, stage, across) {
  drawStage(section, stage, across);
  section.querySelector("select").focus();
  applyFilter();
  fitSheets();
}

/** Scroll a sheet sideways only when it must, because a scrolling box can not have sticky column names. */
function fitSheets() {
  for (const sheet of document.querySelectorAll(".sheet")) {
    sheet.classList.remove("scrolls");
    const line = sheet.firstElementChild;
    sheet.classList.toggle("scrolls", line.offsetWidth > sheet.clientWidth + 24);
  }
}
