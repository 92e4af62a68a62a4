/* The chart of a ladder, and the same as a table. */

const SVG = "http://www.w3.org/2000/svg";
const CHART = { height: 220, left: 44, right: 12, top: 12, bottom: 44, most: 640, reach: 28 };
const MOST_TABLE_LINES = 150;

function shape(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The chart, what it says about the point under the pointer, and that point as a button. */
function ladderChart(ladder, room) {
  const places = placesOf(ladder, room);
  const readout = make("div", { className: "readout" });
  const point = make("button", { type: "button", className: "ladder-point", "data-act": "point" });
  const plot = make("div", { className: "plot" }, chartOf(ladder, places), point);
  const points = pointsOf(ladder, places);
  point.hidden = !points.length;
  if (points.length) followPoints({ plot, point, readout, points, ladder });
  return make("div", { className: "ladder-chart" }, plot, readout);
}

/** Where things are, in CSS pixels: x by step, y by distance. */
function placesOf({ values, lines }, room) {
  const width = Math.min(room, Math.max(CHART.most, values.length * 96 + CHART.left + CHART.right));
  const step = (width - CHART.left - CHART.right) / (values.length - 1);
  const most = Math.max(2 * HARDLY_DIFFERS, ...lines.map(({ distances }) => Math.max(0, ...distances)));
  const scale = (CHART.height - CHART.top - CHART.bottom) / (1.04 * most);
  const floor = CHART.height - CHART.bottom;
  return { width, step, most, floor, x: (at) => CHART.left + (at + 0.5) * step, y: (distance) => floor - distance * scale };
}

const distancesNamed = ({ axis, values, isFromFirst }) => (isFromFirst ? `Distances from ${axis.name} ${values[0].label}` : `Distances between neighbours along ${axis.name}`);

function chartOf(ladder, places) {
  const { width, floor, y } = places;
  const { lines, medians, axis, stage } = ladder;
  const end = width - CHART.right;
  const label = `${distancesNamed(ladder)} in ${stage.name}`;
  const band = shape("rect", { class: "band", x: CHART.left, width: end - CHART.left, y: y(HARDLY_DIFFERS), height: floor - y(HARDLY_DIFFERS) });
  const named = floor - y(HARDLY_DIFFERS) > 14 ? [shape("text", { class: "step", x: end - 6, y: y(HARDLY_DIFFERS) + 12, "text-anchor": "end" }, "hardly differs")] : [];
  const rules = ticksTo(places.most).flatMap((tick) => [
    shape("path", { class: tick ? "rule" : "rule floor", d: `M${CHART.left} ${y(tick)}H${end}` }),
    shape("text", { class: "tick", x: CHART.left - 8, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
  ]);
  const all = lines.map(({ distances }) => distances);
  const attributes = { class: lines.length > 40 ? "many" : "", width, height: CHART.height, viewBox: `0 0 ${width} ${CHART.height}`, role: "img", "aria-label": label };
  const svg = shape("svg", attributes,
    band, ...rules, ...named, ...stepNames(ladder, places),
    shape("path", { class: "courses", d: all.map((one) => lineOf(one, places)).join("") }),
    shape("path", { class: "dots", d: all.map((one) => dotsOf(one, places)).join("") }),
    ...(ladder.groups.length ? groupCourses(ladder, places) : lines.length > 1 ? medianCourse(medians, places) : []));
  return style(svg, { faint: Math.max(0.02, Math.min(0.45, 14 / lines.length)) });
}

const medianCourse = (medians, places) => [shape("path", { class: "median", d: lineOf(medians, places) }), shape("path", { class: "median dots", d: dotsOf(medians, places) })];

/** Patterns of lines that tell the groups of a split ladder apart, with their names at the end. */
const DASHES = ["", "9 5", "2 5", "12 4 2 4", "5 3", "1 3"];

function groupCourses({ groups }, places) {
  let lowest = -Infinity;
  const ends = groups.map(({ medians }) => medians.findLastIndex((one) => one !== null));
  const tops = new Map(groups.map((group, at) => [group, ends[at] < 0 ? 0 : places.y(group.medians[ends[at]])]));
  const labels = [...groups].sort((a, b) => tops.get(a) - tops.get(b)).map((group) => {
    lowest = Math.max(lowest + 14, tops.get(group) + 4);
    return shape("text", { class: "group", x: places.x(Math.max(0, ends[groups.indexOf(group)])) + 9, y: lowest }, cut(group.label));
  });
  const courses = groups.flatMap(({ medians }, at) => {
    const [course, dots] = medianCourse(medians, places);
    course.setAttribute("stroke-dasharray", DASHES[at % DASHES.length]);
    return [course, dots];
  });
  return [...courses, ...labels];
}

/** A line through what is known; a gap breaks it. */
function lineOf(distances, { x, y }) {
  let open = false;
  return distances.map((distance, at) => {
    const sign = open ? "L" : "M";
    open = distance !== null;
    return open ? `${sign}${x(at).toFixed(1)} ${y(distance).toFixed(1)}` : "";
  }).join("");
}

/** Lines of no length, which round ends make dots: one element for all of them. */
function dotsOf(distances, { x, y }) {
  return distances.map((distance, at) => (distance === null ? "" : `M${x(at).toFixed(1)} ${y(distance).toFixed(1)}h0`)).join("");
}

/** Round numbers from 0, at most five. */
function ticksTo(most) {
  const unit = [0.01, 0.02, 0.05, 0.1, 0.2].find((one) => most / one <= 4.5) ?? 0.25;
  return Array.from({ length: Math.floor(most / unit) + 1 }, (_, at) => Number((at * unit).toFixed(2)));
}

/** "raw → low" under each step; over two lines where it is narrow, and not under each where it is narrower. */
function stepNames(ladder, { x, step, floor }) {
  const { values } = ladder;
  const longest = Math.max(...values.map(({ label }) => label.length));
  const every = Math.ceil((longest * 7 + 22) / step);
  const inOne = (2 * longest + 3) * 7 < step;
  return values.slice(1).flatMap(({ label }, at) => {
    if (at % every) return [];
    const before = `${cut(values[stepStart(ladder, at)].label)} →`;
    const rows = inOne ? [`${before} ${cut(label)}`] : [before, cut(label)];
    return rows.map((text, row) => shape("text", { class: "step", x: x(at), y: floor + 18 + row * 16, "text-anchor": "middle" }, text));
  });
}

const cut = (label) => (label.length > 18 ? `${label.slice(0, 17)}…` : label);

function pointsOf({ lines }, { x, y }) {
  return lines.flatMap((line) => line.distances.flatMap((distance, at) => (distance === null ? [] : [{ line, at, distance, x: x(at), y: y(distance) }])));
}

/** The button stands on the point that the pointer is near, or that arrow keys have walked to; it opens the comparison. */
function followPoints(chart) {
  const { plot, point, points } = chart;
  let current = points[0];
  const move = (next, isMeant = true) => {
    current = next ?? current;
    showPoint(chart, current, isMeant);
  };
  plot.addEventListener("pointermove", (event) => move(nearestPoint(chart, event)));
  plot.addEventListener("click", (event) => {
    if (event.detail && event.target !== point) move(nearestPoint(chart, event));
    if (!event.detail || nearestPoint(chart, event)) comparePoint(chart.ladder, current);
  });
  point.addEventListener("focus", () => move(current));
  point.addEventListener("keydown", (event) => {
    const next = walkPoints(points, current, event.key);
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    move(next);
  });
  move(current, false);
}

function nearestPoint({ plot, points }, event) {
  const box = plot.getBoundingClientRect();
  const [left, top] = [event.clientX - box.left, event.clientY - box.top];
  const far = (one) => Math.hypot(one.x - left, one.y - top);
  const nearest = points.reduce((best, one) => (far(one) < far(best) ? one : best));
  return far(nearest) <= CHART.reach ? nearest : undefined;
}

/** Left and right along a line, up and down to the next distance of a step. */
function walkPoints(points, current, key) {
  const along = points.filter(({ line }) => line === current.line);
  const within = points.filter(({ at }) => at === current.at).sort((a, b) => a.distance - b.distance);
  const steps = { ArrowLeft: [along, -1], ArrowRight: [along, 1], ArrowUp: [within, 1], ArrowDown: [within, -1] };
  if (!steps[key]) return null;
  const [list, by] = steps[key];
  return list[list.indexOf(current) + by] ?? current;
}

/** Both cells of a point, as they stand in its line. */
const stepPair = (ladder, { line, at }) => [line.cells[stepStart(ladder, at)], line.cells[at + 1]];

function pointText(ladder, { line, at, distance }) {
  const { axis, values } = ladder;
  return `${line.name ? `${line.name}: ` : ""}${axis.name} ${values[stepStart(ladder, at)].label} → ${values[at + 1].label}, ${stepText(distance)}`;
}

function showPoint({ point, readout, ladder }, current, isMeant) {
  const [a, b] = stepPair(ladder, current);
  point.style.left = `${current.x}px`;
  point.style.top = `${current.y}px`;
  point.setAttribute("aria-label", `Compare ${pointText(ladder, current)}`);
  point.title = `${a.id}\n${b.id}\n${stepText(current.distance)}`;
  Object.assign(point.dataset, { a: a.id, b: b.id });
  if (!isMeant || readout.dataset.pair === `${a.index} ${b.index}`) return;
  readout.dataset.pair = `${a.index} ${b.index}`;
  readout.replaceChildren(make("div", { className: "pair" }, smallOf(a), smallOf(b)), make("p", { textContent: pointText(ladder, current) }));
}

function smallOf(cell) {
  const address = thumbnailOf(cell);
  return address ? make("img", { src: address, alt: cell.id }) : make("span", { className: "blank" });
}

function comparePoint(ladder, point) {
  compareFor(stepPair(ladder, point));
}

/** All distances as a table, whose numbers open the comparison; it is made when it is asked for. */
function ladderTable(ladder) {
  const table = make("details", { className: "ladder-table" }, make("summary", { textContent: "As a table", "data-act": "table" }));
  table.addEventListener("toggle", () => {
    if (table.open && !table.querySelector("table")) table.append(tableOf(ladder));
  });
  return table;
}

function tableOf(ladder) {
  const { axis, values, lines, medians, stage } = ladder;
  const heads = values.slice(1).map(({ label }, at) => make("th", { scope: "col", textContent: `${values[stepStart(ladder, at)].label} → ${label}` }));
  const medianRow = (name, of) => make("tr", { className: "median" }, make("th", { scope: "row", textContent: name }), ...of.map((one) => make("td", { textContent: one === null ? "–" : stepText(one) })));
  const grouped = ladder.groups.map((group) => medianRow(`Median, ${ladder.splitter.name} ${group.label}`, group.medians));
  const median = grouped.length ? grouped : lines.length > 1 ? [medianRow("Median", medians)] : [];
  const rows = lines.slice(0, MOST_TABLE_LINES).map((line) => {
    const numbers = line.distances.map((distance, at) => make("td", {}, distance === null ? "–" : pairButton(ladder, { line, at, distance })));
    return make("tr", {}, make("th", { scope: "row", textContent: line.name || axis.name }), ...numbers);
  });
  const left = lines.length - rows.length;
  const table = make("table", {},
    make("caption", { className: "unseen", textContent: `${distancesNamed(ladder)} in ${stage.name}` }),
    make("thead", {}, make("tr", {}, make("th", { scope: "col", textContent: axis.name }), ...heads)),
    make("tbody", {}, ...median, ...rows));
  const more = left > 0 ? [make("p", { textContent: `${left} more; filter the sheet to see them.` })] : [];
  return make("div", { className: "ladder-numbers", tabIndex: 0, role: "region", "aria-label": "Distances" }, table, ...more);
}

function pairButton(ladder, point) {
  const [a, b] = stepPair(ladder, point);
  const button = make("button", { type: "button", "data-a": a.id, "data-b": b.id, "aria-label": `Compare ${pointText(ladder, point)}`, textContent: stepText(point.distance) });
  button.addEventListener("click", () => comparePoint(ladder, point));
  return button;
}
