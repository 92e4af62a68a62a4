/* The verdict on a picture: what is decided about it, as a mark that reads the same on any picture and at any size. */

/** The mark of a cell, or none: stars, a tick for a pick without stars, a cross for a rejection. */
function verdictOf(cell) {
  const { picked, rejected, stars } = decisionOf(cell);
  if (!picked && !rejected) return [];
  const state = rejected ? "rejected" : stars ? "stars" : "picked";
  const text = rejected ? "rejected" : stars ? starsText(stars) : "picked";
  const signs = stars ? starSigns(stars) : [mark(rejected ? "close" : "tick")];
  return [make("span", { className: "verdict", role: "img", "aria-label": text, title: text, "data-verdict": state }, ...signs)];
}

/** All the stars where there is room, else their number and one star. */
function starSigns(stars) {
  return [
    make("span", { className: "stars", textContent: "★".repeat(stars) }),
    make("span", { className: "star-count", "aria-hidden": "true", textContent: `${stars}★` }),
  ];
}
