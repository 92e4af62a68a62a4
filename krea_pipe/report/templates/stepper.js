/* Stepping through the values of an axis: one at a time, by keys, by buttons beside the axis, or by itself. */

const STEP_SECONDS = 1.5;

/** The name of the axis that was stepped last, which the keys are about. */
let steppedAxis = "";
let cycling = 0;

/** The values of an axis in the page: those of the first stage that has it, then others. */
function stepValues(name) {
  const owners = report.stages.filter(({ axes }) => axes.some((axis) => axis.name === name));
  const found = new Map(owners.flatMap((stage) => axisTable(stage, name).values).map((value) => [value.key, value]));
  return [...found.values()];
}

/** The one value of an axis that is shown; undefined where several are. */
function valueShown(name) {
  const only = view.only[name];
  return only?.length === 1 ? stepValues(name).find(({ key }) => key === only[0]) : undefined;
}

/** Show the value after the one that is shown, or before it; from all values the first, or the last. */
function stepAxis(name, way) {
  const values = stepValues(name);
  const at = values.indexOf(valueShown(name));
  const next = at < 0 ? (way > 0 ? 0 : values.length - 1) : (at + way + values.length) % values.length;
  steppedAxis = name;
  setView({ only: { ...view.only, [name]: [values[next].key] } });
  announce(`${name} ${values[next].label}`);
}

/** The axis that the keys step: the last one, else one that shows a single value, else the first that has several. */
function axisToStep() {
  const names = [...new Set(report.stages.flatMap(({ axes }) => axes.map(({ name }) => name)))].filter((name) => stepValues(name).length > 1);
  return names.find((name) => name === steppedAxis) ?? names.find(valueShown) ?? names[0];
}

/** Buttons beside the name of an axis: to the value before and after; between them what is shown. */
function stepNodes(name) {
  if (stepValues(name).length < 2) return [];
  const value = valueShown(name);
  const nodes = [stepButton(name, -1), stepButton(name, 1)];
  if (!value) return nodes.slice(1);
  const all = make("button", { type: "button", className: "step all", title: "Show all values", "aria-label": `Show all values of ${name}` });
  all.addEventListener("click", () => showAllValues(name));
  const cycle = make("button", { type: "button", className: "step cycle", title: "Show one value after the other", "aria-label": `Cycle through ${name}`, "aria-pressed": String(cycling !== 0 && steppedAxis === name) });
  cycle.addEventListener("click", () => toggleCycle(name));
  return [nodes[0], make("span", { className: "step-value", textContent: value.label }), nodes[1], cycle, all];
}

function stepButton(name, way) {
  const label = `${way > 0 ? "Next" : "Previous"} value of ${name}`;
  const button = make("button", { type: "button", className: "step", title: `${label} (${way > 0 ? "]" : "["})`, "aria-label": label, "data-way": way });
  button.addEventListener("click", () => stepAxis(name, way));
  return button;
}

function showAllValues(name) {
  stopCycle();
  const only = { ...view.only };
  delete only[name];
  setView({ only });
}

function toggleCycle(name) {
  const isRunning = cycling !== 0 && steppedAxis === name;
  stopCycle();
  if (!isRunning) {
    cycling = setInterval(() => stepAxis(name, 1), STEP_SECONDS * 1000);
    stepAxis(name, 1);
  } else redrawSteps();
}

function stopCycle() {
  clearInterval(cycling);
  cycling = 0;
}

/** The buttons of all axes as they stand now. */
function redrawSteps() {
  for (const { shelves } of sheets.values()) if (shelves) shelves.dataset.drawn = "";
  for (const sheet of sheets.values()) drawShelves(sheet, sheet.layout.order);
}

function startStepper() {
  for (const [key, way, words] of [["[", -1, "previous"], ["]", 1, "next"]]) {
    bindKeys([key], `show only the ${words} value of an axis`, () => {
      const name = axisToStep();
      if (!name || view.cell || view.comparing) return false;
      stopCycle();
      stepAxis(name, way);
      return true;
    });
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && cycling) {
      stopCycle();
      redrawSteps();
    }
  });
  onView((now, before) => {
    if (cycling && now.only[steppedAxis]?.length !== 1) stopCycle();
    if (now.cell && !before.cell) stopCycle();
  });
  startStageIndex();
}

/* The index of stages: where each one begins, and which one the window shows. */

function startStageIndex() {
  const index = document.getElementById("stage-index");
  index.hidden = report.stages.length < 2;
  if (index.hidden) return;
  for (const { name } of report.stages) {
    const button = make("button", { type: "button", className: "stage-name", "data-stage": name, textContent: name });
    button.addEventListener("click", () => {
      const { section } = sheets.get(name);
      window.scrollBy({ top: section.getBoundingClientRect().top - toolsCover, behavior: "instant" });
      drawSheets();
    });
    index.append(button);
  }
  const show = () => {
    const shown = [...sheets.values()].filter(({ section }) => !section.hidden);
    const here = shown.findLast(({ section }) => section.getBoundingClientRect().top <= toolsCover + innerHeight / 3) ?? shown[0];
    for (const button of index.children) {
      if (button.dataset.stage === here?.stage.name) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      button.disabled = sheets.get(button.dataset.stage).section.hidden;
    }
  };
  window.addEventListener("scroll", show, { passive: true });
  onView(show);
}
