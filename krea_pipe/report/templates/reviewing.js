/* The menu of what one does with the whole sheet: its items say what they do, whether it is on, and by which key. */

const reviewItems = [];

/** Add an item: {label, key, act, isOn}, `isOn` for what can be on or off. */
function addReviewItem(item) {
  reviewItems.push(item);
}

const reviewMenu = make("div", { id: "review-menu", popover: "auto", role: "menu", "aria-label": "Review" });
const reviewButton = make("button", { type: "button", id: "review", className: "quiet", "aria-haspopup": "menu", "aria-expanded": "false", textContent: "Review" });

function reviewItem({ label, key, act, isOn }) {
  const role = isOn ? "menuitemcheckbox" : "menuitem";
  const item = make("button", { type: "button", role, tabIndex: -1 }, make("span", { textContent: label }), make("kbd", { textContent: key }));
  if (isOn) item.setAttribute("aria-checked", String(isOn()));
  item.addEventListener("click", () => {
    reviewMenu.hidePopover();
    reviewButton.focus();
    act();
  });
  return item;
}

function openReviewMenu() {
  reviewMenu.replaceChildren(...reviewItems.map(reviewItem));
  showMenu(reviewMenu, reviewButton);
  reviewMenu.firstElementChild.focus();
}

function walkReviewMenu(event) {
  const items = [...reviewMenu.children];
  const at = items.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  event.stopPropagation();
  if (event.key === "Escape" || event.key === "Tab") {
    event.preventDefault();
    reviewMenu.hidePopover();
    reviewButton.focus();
  } else if (next !== undefined) {
    event.preventDefault();
    items.at(next % items.length).focus();
  }
}

function startReviewing() {
  document.body.append(reviewMenu);
  document.querySelector(".tools .end").prepend(reviewButton);
  reviewButton.addEventListener("click", openReviewMenu);
  reviewMenu.addEventListener("keydown", walkReviewMenu);
  reviewMenu.addEventListener("toggle", ({ newState }) => reviewButton.setAttribute("aria-expanded", String(newState === "open")));
  addReviewItem({ label: "Slideshow", key: "S", act: () => toggleShow(null) });
  addReviewItem({ label: "Select all", key: "a", act: selectAll });
  addReviewItem({ label: "Select by clicking", key: "M", act: togglePressing, isOn: () => pressingSelects });
  if (!isDiff) addReviewItem({ label: "Auto-advance", key: "A", act: () => setAdvance(!advances), isOn: () => advances });
}
