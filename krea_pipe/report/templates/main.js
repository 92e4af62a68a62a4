/* Starts the parts of the page; the view comes last, when all of them listen. */

startKeys();
startDecisions();
startTools();
startSheet();
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
startState();
startLive();
