/* The tools over the sheet: what is shown, in which order, and how large. */

const toolAt = (id) => document.getElementById(id);

function startTools() {
  sheetTools().hidden = cells.length === 0;
  startSearch();
  startChoices();
  startSize();
  startTheme();
  toolAt("clear").addEventListener("click", () => {
    clearFilters();
    toolAt("search").focus();
  });
  toolAt("folded").addEventListener("click", () => setView({ same: !view.same }));
  onView(drawTools);
  onRows(() => drawTools());
  onDecisions(() => drawTools());
  new ResizeObserver(measureTools).observe(sheetTools());
  measureTools();
}

/** What was typed and is not searched yet; whatever else is drawn in between leaves the field alone. */
let searchWaits = 0;

/** The sheet follows while one types, but not at every key of a fast typist. */
function startSearch() {
  const search = toolAt("search");
  const follow = (text) => {
    clearTimeout(searchWaits);
    searchWaits = 0;
    setView({ search: text });
  };
  search.addEventListener("input", () => {
    clearTimeout(searchWaits);
    searchWaits = setTimeout(() => follow(search.value), 80);
  });
  search.addEventListener("keydown", ({ key }) => {
    if (key === "Enter") follow(search.value);
    if (key === "Escape") follow("");
  });
}

function startChoices() {
  const orders = [["", "Pivot"], ...["time", "cost", "stars"].map((name) => [name, ORDERS[name].name])];
  if (cells.some(({ distance }) => typeof distance === "number")) orders.push(["distance", ORDERS.distance.name]);
  orders.push(...checkNames().map((name) => [`check.${name}`, `Check: ${name}`]));
  const axes = new Set(report.stages.flatMap((stage) => stage.axes.map(({ name }) => name)));
  orders.push(...[...axes].map((name) => [`axis.${name}`, name]));
  fillSelect("sort", orders, (sort) => setView({ sort }));
  const stars = [1, 2, 3, 4, 5].map((count) => [String(count), `${"\u2605".repeat(count)}${count < 5 ? " and more" : ""}`]);
  fillSelect("decided", [["", "All"], ["picked", "Picked"], ["rejected", "Rejected"], ["open", "Open"], ...stars], (decided) => setView({ decided }));
  toolAt("check").addEventListener("change", ({ target }) => setView({ check: target.value }));
  drawPeople();
  toolAt("turn").addEventListener("click", () => setView({ sort: view.sort.startsWith("-") ? view.sort.slice(1) : `-${view.sort}` }));
}

function fillSelect(id, options, act) {
  const select = toolAt(id);
  select.append(...options.map(([value, textContent]) => make("option", { value, textContent })));
  select.addEventListener("change", () => act(select.value));
}

function startSize() {
  const size = toolAt("size");
  let waits = 0;
  size.addEventListener("input", () => {
    waits ||= requestAnimationFrame(() => {
      waits = 0;
      setView({ size: Number(size.value) });
    });
  });
}

function drawTools() {
  const search = toolAt("search");
  if (!searchWaits && search.value !== view.search) search.value = view.search;
  drawStatuses();
  drawPeople();
  drawCheckFilter();
  toolAt("decided").value = view.decided;
  toolAt("decided").parentElement.hidden = isDiff;
  toolAt("sort").value = view.sort.replace(/^-/, "");
  drawTurn();
  toolAt("size").value = largestSize();
  drawFolded();
}

/** The size of the stages that are shown, of which the largest stands for all. */
const largestSize = () => Math.max(LEAST_SIZE, ...report.stages.map(chosenSize));

function drawShown() {
  const isFiltered = filtersInUse() > 0;
  toolAt("clear").hidden = !isFiltered;
  toolAt("shown").textContent = isFiltered ? `${shownCells().length} of ${cells.length} shown` : "";
}

function drawTurn() {
  const order = orderNamed(view.sort);
  toolAt("turn").hidden = !order;
  if (order) toolAt("turn").textContent = order.ways[view.sort.startsWith("-") ? 1 : 0];
}

/** A chip for each status that cells have; where all have the same there is nothing to choose. */
function drawStatuses() {
  const box = toolAt("statuses");
  const counts = new Map(Object.keys(WORDS).map((status) => [status, 0]));
  for (const { status } of cells) counts.set(status, counts.get(status) + 1);
  const used = [...counts].filter(([status, count]) => count || view.statuses.includes(status));
  const needed = used.length > 1 || view.statuses.length ? used : [];
  for (const [status, count] of needed) {
    const chip = box.querySelector(`[data-status="${status}"]`) ?? box.appendChild(statusChip(status));
    chip.setAttribute("aria-pressed", String(view.statuses.includes(status)));
    chip.lastElementChild.textContent = `${WORDS[status]} ${count}`;
  }
  for (const chip of [...box.children]) if (!needed.some(([status]) => status === chip.dataset.status)) chip.remove();
}

function statusChip(status) {
  const chip = make("button", { type: "button", className: "chip", "data-status": status });
  chip.append(...(status === "succeeded" ? [] : [mark(status)]), make("span"));
  chip.addEventListener("click", () => {
    const statuses = view.statuses.filter((one) => one !== status);
    setView({ statuses: statuses.length < view.statuses.length ? statuses : [...statuses, status] });
  });
  return chip;
}

/** The line of a diff page about the pairs that are the same in both runs. */
function drawFolded() {
  const folded = new Set(cells.filter(({ same }) => same).map(({ pair, id }) => pair ?? id)).size;
  const line = toolAt("folded");
  line.hidden = folded === 0;
  const pairs = `${folded} identical ${folded === 1 ? "pair" : "pairs"}`;
  line.textContent = view.same ? `${pairs} shown: hide` : `${pairs} hidden: show`;
  line.setAttribute("aria-pressed", String(view.same));
}

const THEMES = ["auto", "light", "dark"];
const THEME_STORE = "krea-pipe theme";

/** The system's light or dark, or always one of them; a page from a file may not be allowed to remember it. */
function startTheme() {
  const stored = storedTheme();
  showTheme(THEMES.includes(stored) ? stored : "auto");
  toolAt("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    showTheme(next);
    try {
      localStorage.setItem(THEME_STORE, next);
    } catch {
      // Not remembered, but shown.
    }
  });
}

function storedTheme() {
  try {
    return localStorage.getItem(THEME_STORE);
  } catch {
    return null;
  }
}

function showTheme(name) {
  document.documentElement.dataset.theme = name;
  toolAt("theme").textContent = { auto: "Auto", light: "Light", dark: "Dark" }[name];
  toolAt("theme").setAttribute("aria-label", `Light or dark: ${name}`);
}
