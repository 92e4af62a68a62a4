/* Keys: one table of what each does to the cell that is open or has the focus. */

const KEYS = [];

/** The groups of the list of keys, in its order. */
const KEY_GROUPS = ["Move", "Decide", "Select", "Compare", "View"];

/**
 * Give keys a meaning: act(cell, event) may return false to leave the event alone; `help` says it in the list of keys,
 * under `group`.
 */
function bindKeys(keys, help, act, group = "Move") {
  KEYS.push({ keys, help, act, group });
}

/** The cell that keys are about: in a comparison the one in hand, else the open one, else the one with the focus, or null. */
function currentCell() {
  if (view.comparing) return cellsById.get(paneInHand()) ?? null;
  if (view.cell) return cellsById.get(view.cell);
  if (pairsDialog.open) return tileInHand();
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

/** The list of keys: for each group a heading and its lines. */
function keysHelp() {
  return KEY_GROUPS.flatMap((group) => {
    const lines = KEYS.filter((one) => one.help && one.group === group).map(keyLine);
    return lines.length ? [make("tr", {}, make("th", { scope: "rowgroup", colSpan: 2, className: "key-group", textContent: group })), ...lines] : [];
  });
}

function keyLine({ keys, help }) {
  const names = keys.map((key) => make("kbd", { textContent: KEY_NAMES[key] ?? key }));
  return make("tr", {}, make("th", { scope: "row" }, ...names), make("td", { textContent: help }));
}

const KEY_NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", " ": "Space" };

function startKeys() {
  const dialog = document.getElementById("keys");
  document.addEventListener("keydown", pressed);
  bindKeys(["?"], "this list", () => {
    dialog.querySelector("tbody").replaceChildren(...keysHelp());
    dialog.showModal();
  }, "View");
}
