/* Checks of images: their values, which images do not pass, and the filter and the order that ask for them. */

/** In the filter: any check. */
const ANY_CHECK = "failed";

const checksOf = ({ checks }) => checks ?? [];
const failedChecksOf = (cell) => checksOf(cell).filter(({ passed }) => passed === false);

/** The names of all checks that cells have, in the order of the file. */
const checkNames = () => [...new Set(cells.flatMap((cell) => checksOf(cell).map(({ name }) => name)))];

const failsCheck = (cell, wanted) => failedChecksOf(cell).some(({ name }) => wanted === ANY_CHECK || name === wanted);

const checkValue = (cell, wanted) => checksOf(cell).find(({ name }) => name === wanted)?.value ?? null;

/** A value in at most four digits after the point. */
const shortNumber = (value) => String(Math.round(value * 1e4) / 1e4);

function limitsOf({ min, max }) {
  if (min !== null && max !== null) return `${shortNumber(min)} to ${shortNumber(max)}`;
  return min !== null ? `at least ${shortNumber(min)}` : max !== null ? `at most ${shortNumber(max)}` : "";
}

/** On the sheet: which checks an image does not pass, and the value that the sheet is sorted by. */
function checkFlags(cell) {
  const failed = failedChecksOf(cell);
  const flags = [];
  if (failed.length) {
    const flag = flagOf("check", failed.map(({ name }) => name).join(", "));
    flag.title = failed.map(({ name, message }) => `${name}: ${message}`).join("\n");
    flags.push(flag);
  }
  const sorted = /^-?check\.(.+)$/.exec(view.sort)?.[1];
  const value = sorted ? checkValue(cell, sorted) : null;
  if (value !== null) flags.push(make("span", { className: "distance", title: sorted, textContent: shortNumber(value) }));
  return flags;
}

const checkWords = (cell) => (checksOf(cell).length && failsCheck(cell, ANY_CHECK) ? `fails ${failedChecksOf(cell).map(({ name }) => name).join(", ")}` : "");

/** Beside the open cell: a line for each check. */
function checkSection(cell) {
  return tableSection("Checks", checksOf(cell).map((one) => [one.name, checkNode(one)]));
}

function checkNode(one) {
  const value = one.value === null ? "–" : shortNumber(one.value);
  const about = [one.measure === one.name ? "" : one.measure, limitsOf(one)].filter(Boolean).join(" ");
  const failed = one.passed === false ? [mark("check"), make("strong", { textContent: one.fail ? "fails the run" : "fails" })] : [];
  const message = one.message ? [make("span", { className: "check-message", textContent: one.message })] : [];
  return make("span", { className: "check-result", "data-passed": String(one.passed) }, make("span", { className: "check-value", textContent: value }), ...(about ? [make("span", { className: "check-limits", textContent: about })] : []), ...failed, ...message);
}

/** The filter of checks, with the number of images for each; without checks there is none. */
function drawCheckFilter() {
  const select = toolAt("check");
  const names = checkNames();
  const count = (wanted) => cells.filter((cell) => failsCheck(cell, wanted)).length;
  const options = [["", "All"], [ANY_CHECK, `Fails any: ${count(ANY_CHECK)}`], ...names.map((name) => [name, `Fails ${name}: ${count(name)}`])];
  if (select.dataset.drawn !== JSON.stringify(options)) {
    select.dataset.drawn = JSON.stringify(options);
    select.replaceChildren(...options.map(([value, textContent]) => make("option", { value, textContent })));
  }
  select.value = view.check;
  select.parentElement.hidden = !names.length;
}
