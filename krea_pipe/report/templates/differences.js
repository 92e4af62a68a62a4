/* What differs between requests, and between prompts word by word. */

const FIELD_ORDER = ["prompt", "variant", "aspect_ratio", "resolution", "seed", "take", "creativity", "intensity", "complexity", "movement"];
const MOST_WORD_PAIRS = 4_000_000;

/**
 * The fields in which cells' requests differ, in a fixed order: {field, label, values}, a value for each cell.
 * References, moodboards and styles are a line each, by what they name; their value is the strength.
 */
function differencesOf(some) {
  const requests = some.map(({ request }) => request);
  const engines = { field: "engine", label: "engine", values: requests.map(({ engine }) => engine && engineText(engine)) };
  const plainFields = FIELD_ORDER.map((field) => ({ field, label: field, values: requests.map((one) => one[field]) }));
  const inputs = ["image", "image_style_references", "moodboards", "styles"].flatMap((kind) => inputLines(some, kind));
  return [...plainFields, engines, ...inputs].filter(({ values }) => new Set(values.map(keyOf)).size > 1);
}

function inputLines(some, kind) {
  const each = some.map((cell) => inputsOf(cell).filter((one) => one.kind === kind));
  const ids = [...new Set(each.flat().map(({ id }) => id))];
  const lines = ids.map((id) => ({
    field: kind,
    label: kind === "image" ? "source image" : kind === "image_style_references" ? "reference" : kind.slice(0, -1),
    input: { kind, id },
    values: each.map((items) => strengthsOf(items, id)),
  }));
  return [...lines, orderLine(each, kind)];
}

/** A request may name an image twice. */
function strengthsOf(items, id) {
  const strengths = items.filter((one) => one.id === id).map(({ strength }) => strength);
  return strengths.length ? `strength ${strengths.join(" and ")}` : undefined;
}

/** The order counts where all name the same. */
function orderLine(each, kind) {
  const named = each.map((items) => items.map(({ id }) => id));
  const isSame = new Set(named.map((ids) => JSON.stringify([...ids].sort()))).size === 1;
  const orders = named.map((ids) => ids.map((id) => knownAs({ kind, id }).name).join(", "));
  return { field: `${kind}_order`, label: `order of ${ROLES[kind].toLowerCase()}`, values: isSame ? orders : orders.map(() => undefined) };
}

/** The differences in one sentence. */
function differenceSentence(differences) {
  const names = [...new Set(differences.map(({ label }) => label))];
  if (!names.length) return "The requests are the same.";
  if (names.length === 1) return `Only this differs: ${names[0].replace("_", " ")}.`;
  return `${countOf(names.length, "field")} differ: ${names.map((name) => name.replace("_", " ")).join(", ")}.`;
}

const wordsOf = (text) => String(text ?? "").match(/\s+|[\p{L}\p{N}_'’-]+|[^\s\p{L}\p{N}]/gu) ?? [];

/** Which words of two texts the other does not have in its place: two lists of {text, differs}. */
function wordDifferences(one, other) {
  const [a, b] = [wordsOf(one), wordsOf(other)];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const middle = (words) => words.slice(head, words.length - tail);
  const [keptA, keptB] = commonPlaces(middle(a), middle(b));
  const marked = (words, kept) => words.map((text, at) => ({
    text,
    differs: at >= head && at < words.length - tail && !kept.has(at - head),
  }));
  return [marked(a, keptA), marked(b, keptB)];
}

/** The places of a longest common run of words, in both lists; none where the texts are too long to look. */
function commonPlaces(a, b) {
  const places = [new Set(), new Set()];
  if (a.length * b.length > MOST_WORD_PAIRS) return places;
  const width = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const at = i * width + j;
      lengths[at] = a[i] === b[j] ? lengths[at + width + 1] + 1 : Math.max(lengths[at + width], lengths[at + 1]);
    }
  }
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) {
      places[0].add(i++);
      places[1].add(j++);
    } else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return places;
}

/** Prompts with the words marked that the first does not share with the others, and they not with it. */
function markedPrompts(prompts) {
  const pairs = prompts.slice(1).map((prompt) => wordDifferences(prompts[0], prompt));
  const first = pairs[0][0].map(({ text }, at) => ({ text, differs: pairs.some(([words]) => words[at].differs) }));
  return [first, ...pairs.map(([, words]) => words)].map(wordNodes);
}

/** Words in a row that differ are one mark, with the space between them. */
function wordNodes(words) {
  const runs = [];
  words.forEach(({ text, differs }, at) => {
    const between = /^\s+$/.test(text) && words[at - 1]?.differs && words[at + 1]?.differs;
    const isMarked = /^\s+$/.test(text) ? between : differs;
    if (runs.at(-1)?.isMarked === isMarked) runs.at(-1).text += text;
    else runs.push({ isMarked, text });
  });
  return runs.map(({ isMarked, text }) => (isMarked ? make("mark", { textContent: text }) : text));
}

const LETTERS = [..."ABCDEFGHIJKL"];

/** The differences as a table, a column for each cell, and below them what came of the requests. */
function differencesTable(some) {
  const differences = differencesOf(some);
  const head = make("tr", {}, make("td"), ...some.map((_, at) => make("th", { scope: "col", textContent: LETTERS[at] })));
  const rows = [...differences.map((one) => differenceRow(one)), ...outcomeRows(some)];
  return [
    make("p", { id: "difference-sentence", textContent: differenceSentence(differences) }),
    make("div", { className: "table-room", tabIndex: 0, role: "region", "aria-label": "Differences" },
      make("table", { className: "differences" }, make("thead", {}, head), make("tbody", {}, ...rows))),
  ];
}

function differenceRow({ field, label, input, values }) {
  const contents = field === "prompt" ? markedPrompts(values) : values.map((value) => [value === undefined ? "–" : plain(value)]);
  return make("tr", { "data-field": field }, make("th", { scope: "row" }, ...rowName(label, input)),
    ...contents.map((nodes) => make("td", {}, ...nodes)));
}

function rowName(label, input) {
  if (!input) return breakable(label);
  const { name, picture } = knownAs(input);
  const hasPicture = input.kind === "image" || input.kind === "image_style_references";
  return [make("span", { className: "row-input" }, ...(hasPicture ? [smallPicture(picture)] : []),
    make("span", {}, label, make("br"), make("span", { className: "input-name", textContent: name })))];
}

function outcomeRows(some) {
  const [first] = some;
  const row = (name, label, values) => make("tr", { className: "outcome", "data-field": name }, make("th", { scope: "row", textContent: label }),
    ...values.map((value) => make("td", { textContent: value })));
  return [
    row("status", "status", some.map((cell) => WORDS[cell.status])),
    row("cost", "cost", some.map((cell) => dollars(cell.cost_usd))),
    row("distance", "distance from A", some.map((cell) => (cell === first ? "–" : distanceText(first, cell)))),
  ];
}

function distanceText(a, b) {
  if (a.sha256 && a.sha256 === b.sha256) return "same file";
  const distance = b.pair && a.pair === b.pair ? b.distance ?? a.distance : likenessDistance(a.likeness, b.likeness);
  return distance === null || distance === undefined ? "not known" : distance.toFixed(2);
}
