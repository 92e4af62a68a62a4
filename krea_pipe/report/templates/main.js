/* Starts the page: the script runs before the browser has the static sheet, which is half of the page or more. */

/** Start the parts; the view comes last, when all of them listen. */
function start() {
  document.head.append(make("link", { rel: "icon", href: "data:," })); // else a browser asks the server for one
  startOpening();
  startKeys();
  startDecisions();
  startTools();
  startSheet();
  startStepper();
  startLadders();
  startDetail();
  startCompare();
  startContests();
  startDrafts();
  startSelection();
  startCulling();
  startReviewing();
  startBlind();
  startValues();
  startProblems();
  startState();
  startLive();
}

if (page.form !== "single") start();
document.addEventListener("DOMContentLoaded", () => {
  takeStaticSheet();
  if (page.form === "single") start(); // its pictures are in the static sheet
});
