const search = document.getElementById("search");
const chosen = new Set();
const texts = cells.map((cell) => `${cell.id}\n${cell.prompt}`.toLowerCase());
const digests = cells.map((cell) => `${cell.job_id}\n${cell.key}\n${cell.sha256}`.toLowerCase());

/** Every word must occur; only a long one is looked up in digests, where a short one would always be found. */
function matches(index, words) {
  if (chosen.size && !chosen.has(cells[index].status)) return false;
  return words.every((word) => texts[index].includes(word) || (word.length >= 6 && digests[index].includes(word)));
}

/** Hide what does not match: cells leave a gap, so that columns keep their meaning; empty lines close up. */
function applyFilter() {
  const words = search.value.toLowerCase().split(/\s+/);
  let shown = 0;
  for (const [index, button] of buttons) {
    button.hidden = !matches(index, words);
    if (!button.hidden) shown += 1;
  }
  hideEmpty(".flow .slot");
  hideEmpty(".line.cells");
  hideEmpty(".block");
  hideEmpty(".stage");
  document.getElementById("shown").textContent = shown === cells.length ? "" : `${shown} of ${cells.length}`;
  document.getElementById("nothing").hidden = shown > 0;
  for (const grid of document.querySelectorAll('[role="grid"]')) startRoving(grid);
}

function hideEmpty(selector) {
  for (const box of document.querySelectorAll(selector)) box.hidden = !box.querySelector(".cell:not([hidden])");
}

function clearFilter() {
  search.value = "";
  chosen.clear();
  for (const chip of document.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", "false");
  applyFilter();
}

function statusChip(status, count) {
  const marks = status === "succeeded" ? [] : [mark(status)];
  const chip = make("button", { type: "button", className: "chip", "aria-pressed": "false" }, ...marks, `${WORDS[status]} ${count}`);
  chip.addEventListener("click", () => {
    if (!chosen.delete(status)) chosen.add(status);
    chip.setAttribute("aria-pressed", String(chosen.has(status)));
    applyFilter();
  });
  return chip;
}

function startFilter() {
  const counts = Object.keys(WORDS).map((status) => [status, report.totals.cells[status]]).filter(([, count]) => count);
  if (counts.length > 1) document.getElementById("statuses").append(...counts.map(([status, count]) => statusChip(status, count)));
  search.addEventListener("input", applyFilter);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clearFilter();
  });
}

/** One tab stop a grid: the arrow keys move on from there. */
function startRoving(grid) {
  for (const button of grid.querySelectorAll(".cell")) button.tabIndex = -1;
  const first = grid.querySelector(".cell:not([hidden])");
  if (first) first.tabIndex = 0;
}

/** The cell beside another one: along the line, or in the same column of the next line that has it. */
function neighbour(button, across, down) {
  const all = [...document.querySelectorAll(".cell:not([hidden])")];
  const at = all.indexOf(button);
  if (across) return all[at + across];
  const line = button.closest(".line.cells");
  if (!line) return below(all, button, down);
  const column = [...line.children].indexOf(button.parentElement);
  const lines = [...document.querySelectorAll(".line.cells:not([hidden])")];
  for (let next = lines.indexOf(line) + down; lines[next]; next += down) {
    const found = lines[next].children[column]?.querySelector(".cell:not([hidden])");
    if (found) return found;
  }
  return undefined;
}

/** In a row that wraps: the nearest cell of the next visual line. */
function below(all, button, down) {
  const from = button.getBoundingClientRect();
  const candidates = all.filter((other) => (other.getBoundingClientRect().top - from.top) * down > 8);
  const gap = (other) => {
    const to = other.getBoundingClientRect();
    return Math.abs(to.top - from.top) * 10 + Math.abs(to.left - from.left);
  };
  return candidates.sort((one, other) => gap(one) - gap(other))[0];
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function moveFocus(event) {
  const button = event.target.closest?.(".cell");
  const step = STEPS[event.key];
  if (!button || !step) return;
  event.preventDefault();
  const next = neighbour(button, ...step);
  if (!next) return;
  next.tabIndex = 0;
  button.tabIndex = -1;
  next.focus();
}
