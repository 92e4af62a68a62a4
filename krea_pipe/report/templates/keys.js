/* Keys: one table of what each does to the cell that is open or has the focus. */

const KEYS = [];

/** Give keys a meaning: act(cell, event) may return false to leave the event alone; `help` says it in the list of keys. */
function bindKeys(keys, help, act) {
  KEYS.push({ keys, help, act });
}

/** The cell that keys are about: the open one, else the one with the focus; null without any. */
function currentCell() {
  if (view.cell) return cellsById.get(view.cell);
  const button = document.activeElement?.closest?.(".cell");
  return button ? cells[Number(button.dataset.index)] : null;
}

const isTyping = (target) => Boolean(target.closest?.("input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]"));

function pressed(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || isTyping(event.target)) return;
  for (const { keys, act } of KEYS) {
    if (keys.includes(event.key) && act(currentCell(), event) !== false) {
      event.preventDefault();
      return;
    }
  }
}

function keysHelp() {
  return KEYS.filter(({ help }) => help).map(({ keys, help }) => {
    const names = keys.map((key) => make("kbd", { textContent: KEY_NAMES[key] ?? key }));
    return make("tr", {}, make("th", { scope: "row" }, ...names), make("td", { textContent: help }));
  });
}

const KEY_NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", " ": "Space" };

function startKeys() {
  const dialog = document.getElementById("keys");
  document.addEventListener("keydown", pressed);
  bindKeys(["?"], "this list", () => {
    dialog.querySelector("tbody").replaceChildren(...keysHelp());
    dialog.showModal();
  });
}
