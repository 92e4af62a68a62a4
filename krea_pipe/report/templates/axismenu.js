/* The menu of an axis: where it stands, its order, and which of its values are shown. */

let menuOwner = null;

function axisMenu() {
  const found = document.getElementById("axis-menu");
  if (found) return found;
  const menu = make("div", { id: "axis-menu", popover: "auto" });
  menu.addEventListener("keydown", walkMenu);
  menu.addEventListener("toggle", ({ newState }) => {
    if (newState === "open") return;
    menuButton()?.setAttribute("aria-expanded", "false");
    menuOwner = null;
  });
  document.body.append(menu);
  return menu;
}

const menuButton = () => menuOwner && axisButton(menuOwner.sheet, menuOwner.name);

function openAxisMenu(sheet, name, button) {
  const menu = axisMenu();
  menuOwner = { sheet, name };
  menu.setAttribute("role", "menu");
  menu.setAttribute("aria-label", `Axis ${name}`);
  menu.replaceChildren(...menuItems(sheet, name));
  showMenu(menu, button);
  menu.firstElementChild.focus();
}

function showMenu(menu, button) {
  if (!menu.matches(":popover-open")) menu.showPopover();
  button.setAttribute("aria-expanded", "true");
  const { left, bottom, top } = button.getBoundingClientRect();
  const { offsetWidth, offsetHeight } = menu;
  const below = bottom + 4 + offsetHeight <= innerHeight || top < offsetHeight;
  menu.style.left = `${Math.max(8, Math.min(left, document.documentElement.clientWidth - offsetWidth - 8))}px`;
  menu.style.top = `${Math.max(8, below ? Math.min(bottom + 4, innerHeight - offsetHeight - 8) : top - 4 - offsetHeight)}px`;
}

/** Close the menu; the focus goes back to the chip, wherever that is by now. */
function closeAxisMenu() {
  const owner = menuOwner;
  axisMenu().hidePopover();
  if (owner) axisButton(owner.sheet, owner.name)?.focus({ preventScroll: true });
}

function menuItems(sheet, name) {
  const { stage } = sheet;
  const pivot = pivotOf(stage);
  const shelf = pivot.rows.includes(name) ? "rows" : pivot.columns.includes(name) ? "columns" : "aside";
  const place = shelf === "aside" ? -1 : pivot[shelf].indexOf(name);
  const items = [
    ["To the rows", shelf !== "rows", () => moveAxis(stage, name, "rows")],
    ["To the columns", shelf !== "columns", () => moveAxis(stage, name, "columns")],
    ["Into the cell", shelf !== "aside", () => moveAxis(stage, name, "aside")],
    ["Outwards", place > 0, () => moveAxis(stage, name, shelf, place - 1)],
    ["Inwards", place >= 0 && place < pivot[shelf].length - 1, () => moveAxis(stage, name, shelf, place + 1)],
    ["Swap rows and columns", true, () => swapShelves(stage)],
    ["Sort by this axis", true, () => setView({ sort: `axis.${name}` })],
  ];
  const rest = items.filter(([, makesSense]) => makesSense).map(([label, , act]) => menuItem(label, () => {
    act();
    closeAxisMenu();
  }));
  const filter = menuItem("Filter values\u2026", () => openValues(sheet, name));
  filter.setAttribute("aria-haspopup", "dialog");
  return [filter, ...rest];
}

function menuItem(label, act) {
  const item = make("button", { type: "button", role: "menuitem", tabIndex: -1, textContent: label });
  item.addEventListener("click", act);
  return item;
}

function walkMenu(event) {
  const items = [...event.currentTarget.querySelectorAll('[role="menuitem"], input')];
  const at = items.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  event.stopPropagation();
  if (event.key === "Escape" || (event.key === "Tab" && event.currentTarget.getAttribute("role") === "menu")) {
    event.preventDefault();
    closeAxisMenu();
  } else if (next !== undefined) {
    event.preventDefault();
    items.at(next % items.length)?.focus();
  }
}

/** The values of an axis with boxes to tick; the sheet follows each tick. */
function openValues(sheet, name) {
  const menu = axisMenu();
  const { values, at } = axisTable(sheet.stage, name);
  const counts = values.map(() => 0);
  for (const index of stageMembers.get(sheet.stage.name)) counts[at[index]] += 1;
  const boxes = values.map(({ key }) => make("input", { type: "checkbox", checked: isValueShown(name, key), value: key }));
  const apply = () => filterAxis(name, boxes.filter(({ checked }) => checked).map(({ value }) => value), values);
  const lines = values.map(({ label }, place) => make("label", {}, boxes[place], make("span", { textContent: label }), make("span", { className: "value-count", textContent: counts[place] })));
  for (const box of boxes) box.addEventListener("change", apply);
  const set = (checked) => () => {
    for (const box of boxes) box.checked = checked;
    apply();
  };
  menu.setAttribute("role", "dialog");
  menu.setAttribute("aria-label", `Values of ${name}`);
  const head = make("div", { className: "values-head" }, valuesButton("All", set(true)), valuesButton("None", set(false)), valuesButton("Done", closeAxisMenu));
  menu.replaceChildren(head, make("div", { className: "values" }, ...lines));
  const button = axisButton(sheet, name);
  if (button) showMenu(menu, button);
  (boxes[0] ?? head.firstElementChild).focus();
}

const isValueShown = (name, key) => !view.only[name] || view.only[name].includes(key);

function valuesButton(label, act) {
  const button = make("button", { type: "button", className: "quiet", textContent: label });
  button.addEventListener("click", act);
  return button;
}
