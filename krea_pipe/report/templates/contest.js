/* Winner stays: two pictures beside each other, of which one is kept and meets the next challenger. */

/** {queue, met, past}: ids of the challengers to come, how many have lost, and the pairs and queues of before; or null. */
let contest = null;

/** The cells that a contest from here is among: the marked ones, the selected ones, else the line of the cell. */
function contestants(cell) {
  if (view.comparing || view.compare.length > 1) return comparedCells();
  const chosen = selectedCells();
  if (chosen.length > 1) return chosen;
  return cell && !view.cell ? lineOfCell(cell.index).map((index) => cells[index]) : [];
}

/** Begin a contest; the cell at hand is the first to defend its place if it takes part. */
function startContest(cell) {
  const some = inBlindOrder(contestants(cell).filter((one) => pictureSource(one)));
  if (some.length < 2) return false;
  const first = cell && some.includes(cell) && view.comparing ? cell : some[0];
  const [challenger, ...queue] = some.filter((one) => one !== first);
  contest = { queue: queue.map(({ id }) => id), met: 0, past: [] };
  compareFor([first, challenger], { compareAs: "" });
  takeInHand(first.id, { focus: true });
  return true;
}

/** One of the two is kept: the next challenger takes the other's place, or the contest is over. */
function keepWinner(cell) {
  const loser = view.compare.find((id) => id !== cell.id);
  contest.past.push({ compare: view.compare, queue: contest.queue, met: contest.met });
  const [next, ...queue] = contest.queue;
  Object.assign(contest, { queue, met: contest.met + 1 });
  if (!next) {
    contest.winner = cell.id;
    announce(`${surveyName(cell) || letterOf(cell)} wins`);
    drawContest();
    return;
  }
  setView({ compare: view.compare.map((id) => (id === loser ? next : id)), pair: [] });
  takeInHand(cell.id, { focus: true });
}

/** Go back to the pair of before. */
function stepBack() {
  const last = contest.past.pop();
  if (!last) return;
  const { compare, ...before } = last;
  Object.assign(contest, before, { winner: null });
  setView({ compare });
  drawContest();
}

/** What the bar of the comparison says of a contest. */
function drawContest() {
  const place = document.getElementById("compare-contest");
  document.getElementById("compare-winner").hidden = Boolean(contest) || view.compare.length < 3;
  place.hidden = !contest;
  if (!contest) return;
  const { winner, met, queue, past } = contest;
  const said = winner ? `${letterOf(cellsById.get(winner))} wins against ${counted(met, "other")}` : `Challenger ${met + 1} of ${met + 1 + queue.length}`;
  const back = make("button", { type: "button", className: "action", textContent: "Back", disabled: !past.length });
  back.addEventListener("click", stepBack);
  const pick = make("button", { type: "button", className: "action", textContent: "Pick the winner", hidden: !winner });
  pick.addEventListener("click", () => decide(cellsById.get(winner), { picked: true }));
  place.replaceChildren(make("span", { role: "status", textContent: said }), back, pick);
}

function startContests() {
  document.getElementById("compare-winner").addEventListener("click", () => startContest(currentCell()));
  bindKeys(["w"], "winner stays: start with the marked cells, the selected cells or the row; then keep a picture", (cell) => {
    if (view.comparing && contest) return contest.winner ? false : keepWinner(cell);
    return startContest(cell);
  }, "Compare");
  bindKeys(["Enter"], "open the cell; in winner stays, keep the picture", (cell, event) => {
    if (!view.comparing || !contest || contest.winner || event.target.closest?.("button, a, input, select")) return false;
    return keepWinner(cell);
  });
  bindKeys(["W"], "winner stays: back to the previous pair", () => (view.comparing && contest ? stepBack() : false), "Compare");
}
