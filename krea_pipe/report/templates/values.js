/* Which values win: of the cells that are shown, how many of each axis value, and of each pair of values, are picked. */

/** Pairs of values that are named in words, and rows of a table that are made. */
const MOST_BEST_PAIRS = 6;
const MOST_VALUES = 60;

/** The axes of a stage of which its cells have more than one value. */
const tellingAxes = (stage) => stage.axes.map(({ name }) => axisTable(stage, name)).filter(({ values }) => values.length > 1);

/** The cells of a stage that the filters show, but for those on the named axes: so a value that is filtered away keeps its count. */
function membersBut(stage, names) {
  const filtered = stage.axes.map(({ name }) => name).filter((name) => view.only[name] && !names.includes(name));
  const id = `${stage.name}\n${filtered.join("\n")}`;
  if (!countedMembers.has(id)) {
    const test = filterOf({ ...view, only: Object.fromEntries(filtered.map((name) => [name, view.only[name]])) });
    countedMembers.set(id, stageMembers.get(stage.name).filter((index) => test(cells[index])));
  }
  return countedMembers.get(id);
}

/** What membersBut has found since the tables were begun. */
const countedMembers = new Map();

const emptyTally = () => ({ cells: 0, picked: 0, rejected: 0, open: 0, stars: 0, starred: 0 });

function count(tally, { picked, rejected, stars }) {
  tally.cells += 1;
  tally[picked ? "picked" : rejected ? "rejected" : "open"] += 1;
  if (!stars) return;
  tally.stars += stars;
  tally.starred += 1;
}

/** How cells of each place among some values are decided about, by everyone or as `decision` says. */
function tallies(length, indexes, placeOf, decision = jointDecision) {
  const found = Array.from({ length }, emptyTally);
  for (const index of indexes) count(found[placeOf(index)], decision(cells[index]));
  return found;
}

const talliesOf = (stage, { name, values, at }) => tallies(values.length, membersBut(stage, [name]), (index) => at[index]);

/** A tally for each pair of values of two axes, those of the first axis outside. */
function pairTallies(stage, one, other) {
  const members = membersBut(stage, [one.name, other.name]);
  return tallies(one.values.length * other.values.length, members, (index) => one.at[index] * other.values.length + other.at[index]);
}

/** Of the cells that are decided, which part is picked; null where none is. */
const shareOf = ({ picked, rejected }) => (picked + rejected ? picked / (picked + rejected) : null);
const meanStars = ({ stars, starred }) => (starred ? (stars / starred).toFixed(1) : "–");
const percent = (share) => (share === null ? "–" : `${Math.round(share * 100)} %`);

/** Best first: by the part that is picked, then by stars, then by how many are picked. */
function isBetter(one, other) {
  const stars = ({ stars: sum, starred }) => (starred ? sum / starred : 0);
  return (shareOf(other) ?? -1) - (shareOf(one) ?? -1) || stars(other) - stars(one) || other.picked - one.picked;
}

/** How far the best value of an axis is from its worst. */
function spreadOf(some) {
  const shares = some.map(shareOf).filter((share) => share !== null);
  return shares.length > 1 ? Math.max(...shares) - Math.min(...shares) : 0;
}

/** Whether so many cells are decided that they say something. */
const isTelling = ({ picked, rejected }) => picked + rejected > 1;

/** What decisions say, in a sentence; `tally` gives those of an axis, value by value. */
function winningSentence(axes, tally) {
  const ranked = axes.map((axis) => ({ axis, some: tally(axis) }));
  const telling = ranked.map((one) => ({ ...one, spread: spreadOf(one.some.filter(isTelling)) })).filter(({ spread }) => spread >= 0.1).sort((a, b) => b.spread - a.spread).slice(0, 3);
  if (!ranked.some(({ some }) => some.some((one) => shareOf(one) !== null))) return "None of the cells that are shown is picked or rejected yet.";
  if (!telling.length) return "No value is clearly preferred.";
  const named = telling.map(({ axis, some }) => {
    const sorted = some.filter(isTelling).sort(isBetter);
    const said = (one) => `${axis.values[some.indexOf(one)].label} (${one.picked} of ${one.picked + one.rejected} decided cells picked)`;
    return `${axis.name} ${said(sorted[0])} before ${said(sorted.at(-1))}`;
  });
  return `Preferred values: ${named.join("; ")}.`;
}

/* The section under the header of a stage. */

const valuesSections = new Map();
/** By stage: the two axes whose pairs are shown. */
const pairedAxes = new Map();

/** The values of a stage: one element for each stage, always the same. */
function valuesSection(stage) {
  if (isDiff || !tellingAxes(stage).length) return [];
  valuesSections.set(stage.name, make("div", { className: "values-won", "data-stage": stage.name }));
  fillValues(stage);
  return [valuesSections.get(stage.name)];
}

function fillValues(stage) {
  const section = valuesSections.get(stage.name);
  const isShown = view.values === stage.name;
  const act = section.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  const toggle = make("button", { type: "button", className: "fact-button", "data-act": "toggle", "aria-expanded": String(isShown), textContent: "Which values win" });
  toggle.addEventListener("click", () => setView({ values: isShown ? "" : stage.name }));
  section.replaceChildren(toggle, ...(isShown ? valuesBody(stage) : []));
  if (act) section.querySelector(`[data-act="${CSS.escape(act)}"]`)?.focus({ preventScroll: true });
}

function valuesBody(stage) {
  countedMembers.clear();
  const axes = tellingAxes(stage);
  return [
    make("p", { className: "values-words", textContent: winningSentence(axes, (axis) => talliesOf(stage, axis)) }),
    make("div", { className: "values-tables" }, ...axes.map((axis) => valueTable(stage, axis))),
    ...(axes.length > 1 ? [pairsPart(stage, axes)] : []),
  ];
}

const VALUE_HEADS = ["picked", "rejected", "open", "share picked", "mean stars"];

function valueTable(stage, axis) {
  const some = talliesOf(stage, axis);
  const best = spreadOf(some) > 0 ? [...some].sort(isBetter)[0] : null;
  const rows = axis.values.slice(0, MOST_VALUES).map((value, place) => valueRow(stage, { axis, value, tally: some[place], isBest: some[place] === best }));
  const heads = VALUE_HEADS.map((textContent) => make("th", { scope: "col", textContent }));
  const left = axis.values.length - rows.length;
  return make("table", { className: "value-table", "data-axis": axis.name },
    make("caption", { textContent: axis.name }),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, make("span", { className: "unseen", textContent: axis.name })), ...heads)),
    make("tbody", {}, ...rows, ...(left > 0 ? [make("tr", {}, make("td", { colSpan: VALUE_HEADS.length + 1, textContent: `${left} more values` }))] : [])));
}

function valueRow(stage, { axis, value, tally, isBest }) {
  const isOnly = isOnlyShown(axis, [value.key]);
  const button = make("button", { type: "button", className: "value-name", "data-act": `${axis.name} ${value.key}`, "aria-pressed": String(isOnly), title: isOnly ? "Show all values" : "Show only these cells", textContent: value.label });
  button.addEventListener("click", () => showOnly(stage, [[axis, value.key]]));
  const bar = style(make("span", { className: "share-bar" }), { picked: tally.picked / (tally.cells || 1), rejected: tally.rejected / (tally.cells || 1) });
  const numbers = [tally.picked, tally.rejected, tally.open, percent(shareOf(tally)), meanStars(tally)].map((textContent) => make("td", { textContent }));
  const row = make("tr", { "data-value": value.label }, make("th", { scope: "row" }, button, bar), ...numbers);
  row.classList.toggle("best", isBest);
  return row;
}

const isOnlyShown = ({ name }, keys) => view.only[name]?.length === keys.length && keys.every((key) => view.only[name].includes(key));

/** Show only the cells with these values; when that is so already, all values of these axes. */
function showOnly(stage, wanted) {
  const isSo = wanted.every(([axis, key]) => isOnlyShown(axis, [key]));
  for (const [axis, key] of wanted) filterAxis(axis.name, isSo ? axis.values.map((one) => one.key) : [key], axis.values);
}

/* Pairs of values. */

function pairsPart(stage, axes) {
  const [one, other] = pairedNow(stage, axes);
  const select = (place, name) => {
    const taken = place ? one : other;
    const options = axes.map((axis) => make("option", { value: axis.name, textContent: axis.name, selected: axis === (place ? other : one), disabled: axis === taken }));
    const made = make("select", { "aria-label": `${name} axis of the pairs`, "data-act": `pair ${place}` }, ...options);
    made.addEventListener("change", () => {
      pairedAxes.set(stage.name, place ? [one.name, made.value] : [made.value, other.name]);
      fillValues(stage);
    });
    return made;
  };
  return make("div", { className: "pairs-won" },
    make("p", { className: "pairs-choice" }, "Pairs of ", select(0, "First"), " and ", select(1, "Second")),
    make("div", { className: "pairs-scroll", tabIndex: 0, role: "region", "aria-label": "Pairs of values" }, pairTable(stage, one, other)),
    ...bestPairs(stage, axes));
}

/** The chosen two axes; else the two that tell most. */
function pairedNow(stage, axes) {
  const chosen = (pairedAxes.get(stage.name) ?? []).map((name) => axes.find((axis) => axis.name === name));
  if (chosen.length === 2) return chosen;
  const spreads = new Map(axes.map((axis) => [axis, spreadOf(talliesOf(stage, axis))]));
  const most = [...axes].sort((a, b) => spreads.get(b) - spreads.get(a)).slice(0, 2);
  return axes.filter((axis) => most.includes(axis));
}

function pairTable(stage, one, other) {
  const some = pairTallies(stage, one, other);
  const [down, across] = [one.values.slice(0, MOST_VALUES), other.values.slice(0, MOST_VALUES)];
  const rows = down.map((value, place) => {
    const boxes = across.map((second, at) => pairCell(stage, [[one, value], [other, second]], some[place * other.values.length + at]));
    return make("tr", {}, make("th", { scope: "row", textContent: value.label }), ...boxes);
  });
  const heads = across.map(({ label }) => make("th", { scope: "col", textContent: label }));
  return make("table", { className: "pair-table" },
    make("caption", { className: "unseen", textContent: `Picked cells by ${one.name} and ${other.name}` }),
    make("thead", {}, make("tr", {}, make("td", { className: "pair-corner", textContent: `${one.name} ↓ ${other.name} →` }), ...heads)), make("tbody", {}, ...rows));
}

function pairCell(stage, pair, tally) {
  const cell = style(make("td"), { share: shareOf(tally) ?? 0 });
  if (tally.cells) cell.append(pairWonButton(stage, pair, tally));
  return cell;
}

const pairLabel = (pair) => pair.map(([axis, { label }]) => `${axis.name} ${label}`).join(", ");

function talliedText({ picked, rejected, open, ...rest }) {
  return `${picked} picked, ${rejected} rejected, ${open} open${rest.starred ? `, ${meanStars(rest)} stars` : ""}`;
}

function pairWonButton(stage, pair, tally) {
  const isOnly = pair.every(([axis, { key }]) => isOnlyShown(axis, [key]));
  const { picked, rejected, cells: all } = tally;
  const said = picked + rejected ? `${picked} of ${picked + rejected}` : `– of ${all}`;
  const button = make("button", { type: "button", className: "pair-won", "aria-pressed": String(isOnly), "data-act": `pair ${pair.map(([, { key }]) => key).join(" ")}`, "aria-label": `${pairLabel(pair)}: ${talliedText(tally)}`, title: talliedText(tally) });
  button.append(make("span", { textContent: said }), make("span", { className: "pair-stars", textContent: tally.starred ? `${meanStars(tally)}★` : "" }));
  button.addEventListener("click", () => showOnly(stage, pair.map(([axis, { key }]) => [axis, key])));
  return button;
}

/** The pairs of any two axes that are picked most often. */
function bestPairs(stage, axes) {
  const found = axes.flatMap((one, place) => axes.slice(place + 1).flatMap((other) => pairTallies(stage, one, other).map((tally, at) => ({
    tally,
    pair: [[one, one.values[Math.floor(at / other.values.length)]], [other, other.values[at % other.values.length]]],
  }))));
  const best = found.filter(({ tally }) => tally.picked).sort((a, b) => isBetter(a.tally, b.tally)).slice(0, MOST_BEST_PAIRS);
  if (!best.length) return [];
  const items = best.map(({ pair, tally }) => make("li", {}, `${pairLabel(pair)}: `, pairWonButton(stage, pair, tally)));
  return [make("p", { className: "best-pairs-title", textContent: "Pairs with the highest share of picks" }), make("ol", { className: "best-pairs" }, ...items)];
}

let valuesWait = false;

/** Count anew once all that listens has heard of a change. */
function redrawValues() {
  if (valuesWait) return;
  valuesWait = true;
  queueMicrotask(() => {
    valuesWait = false;
    for (const name of valuesSections.keys()) fillValues(stagesByName.get(name));
  });
}

const VALUES_PARTS = ["values", "only", "statuses", "decided", "check", "search", "same"];

function startValues() {
  onView((now, before) => {
    if (VALUES_PARTS.some((part) => now[part] !== before[part])) redrawValues();
  });
  onRows(() => view.values && redrawValues());
  onDecisions(() => view.values && redrawValues());
  bindKeys(["v"], "show which values win", (cell) => {
    if (view.comparing || view.cell || view.blind || pairsDialog.open || !valuesSections.size) return false;
    const stage = valuesSections.has(cell?.stage) ? cell.stage : [...valuesSections.keys()][0];
    setView({ values: view.values === stage ? "" : stage });
    if (view.values) valuesSections.get(stage).scrollIntoView({ block: "center" });
    return true;
  }, "View");
}
