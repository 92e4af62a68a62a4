/* Starts the parts of the page; the view comes last, when all of them listen. */

document.head.append(make("link", { rel: "icon", href: "data:," })); // else a browser asks the server for one
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
