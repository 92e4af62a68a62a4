function drawAll() {
  const main = document.getElementById("stages");
  for (const stage of report.stages) {
    const section = make("section", { className: "stage", "aria-label": stage.name });
    main.append(section);
    drawStage(section, stage, stage.axes.at(-1)?.name);
  }
}

function startTools() {
  const tools = document.querySelector(".tools");
  const size = document.getElementById("size");
  tools.hidden = cells.length === 0;
  size.addEventListener("input", () => {
    style(document.documentElement, { u: `${size.value}px` });
    fitSheets();
  });
  if (matchMedia("(max-width: 640px)").matches) {
    size.value = 200;
    size.dispatchEvent(new Event("input"));
  }
  new ResizeObserver(() => {
    const isSticky = getComputedStyle(tools).position === "sticky";
    style(document.documentElement, { tools: `${isSticky ? tools.offsetHeight - 1 : 0}px` });
    fitSheets();
  }).observe(tools);
}

/** A link from the list of problems: its cell must not be filtered away. */
function followLink(event) {
  const link = event.target.closest?.('.problems a[href^="#c"]');
  const button = link && document.getElementById(link.hash.slice(1));
  if (!button) return;
  event.preventDefault();
  if (button.hidden) clearFilter();
  button.scrollIntoView({ block: "center" });
  button.focus({ focusVisible: true });
}

drawAll();
startFilter();
startTools();
startDialog();
document.addEventListener("click", followLink);
document.getElementById("stages").addEventListener("keydown", moveFocus);
window.addEventListener("beforeprint", () => {
  for (const image of document.querySelectorAll("img[data-index]")) reveal(image);
});
openFromHash();
