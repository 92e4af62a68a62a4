/* A page that `krea-pipe view` serves: it follows the run and the picks files, and has decisions written down. */

const SERVER_GONE = "The server has stopped. This page stays, but nothing more is saved. Restart it with krea-pipe view.";

/** How the run stands, as the line says it: "running", "ended", or a sentence; "" when there is nothing to say. */
let runState = page.form === "view" && page.live ? "running" : "";
let serverGone = false;

/** Whether the watched file has a problem. */
let hasProblem = false;

/** What was paid, in US dollars as text; counted in millionths, because sums of fractions drift. */
function spentText() {
  const millionths = cells.reduce((sum, cell) => sum + (cell.status === "uncertain" ? 0 : Math.round(Number(cell.cost_usd) * 1e6)), 0);
  return dollars((millionths / 1e6).toFixed(6));
}

function progressText() {
  const count = (...statuses) => cells.filter(({ status }) => statuses.includes(status)).length;
  const odd = ["failed", "uncertain"].filter((status) => count(status)).map((status) => `${count(status)} ${status}`);
  const done = [`${cells.length - count("pending")} of ${cells.length} done`, ...odd].join(", ");
  const cap = report.totals.cost.cap_usd ? ` of ${dollars(report.totals.cost.cap_usd)}` : "";
  const cost = report.target.kind === "local" || (report.target.kind === "engine" && !Number(report.totals.cost.spent_usd)) ? [] : [`${spentText()}${cap}`];
  return [done, ...(runState === "running" ? [paceText()] : []), ...cost].filter(Boolean).join(" · ");
}

/** How many cells are done in a minute, and when the rest will be: by those that have ended since the run began. */
function paceText() {
  const begun = Date.parse(report.started_at);
  const ends = cells.map(({ timings, status }) => (status === "pending" ? NaN : Date.parse(timings.finished_at))).filter((end) => end > begun);
  const minutes = (Date.now() - begun) / 60_000;
  if (ends.length < LEAST_PACE || !(minutes > 0)) return "";
  const rate = ends.length / minutes;
  const left = Math.ceil(cells.filter(({ status }) => status === "pending").length / rate);
  const pace = `${rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en")} a minute`;
  return left ? `${pace}, about ${left < 60 ? `${left} min` : `${Math.floor(left / 60)} h ${left % 60} min`} left` : pace;
}

/** From fewer cells no pace is told. */
const LEAST_PACE = 3;
const PACE_SECONDS = 10;

/** Another run of the pipeline has begun, or the watched file was saved: a run with the same cells needs no reload. */
async function takeRerun() {
  const answer = await fetch("report.json");
  if (!answer.ok) throw new Error(`report.json: ${answer.status}`);
  const whole = await answer.json();
  if (page.watched && hasSameShape(whole)) {
    takeReport(whole);
    followServer();
  } else {
    reloadPage();
  }
}

/** Show it by a reload, unless somebody writes a note, which would be lost. */
function reloadPage() {
  runState = page.watched ? "The cells have changed. Reload the page to see them." : "A new run of this pipeline has started. Reload the page to see it.";
  showLive();
  if (!isTyping(document.activeElement)) location.reload();
}

/** How the run stands, with the next step where it has ended before all cells were done. */
function stateText() {
  if (runState !== "ended" || !cells.some(({ status }) => status === "pending")) return runState;
  return `ended before all cells were done. Rerun the command to continue; nothing is charged twice. krea-pipe run ${report.pipeline.file}`;
}

/** Say how the run stands. The sentence at the top of the page is of the moment when the page was opened. */
function showLive() {
  const line = document.getElementById("live");
  const parts = [...(runState ? [progressText(), stateText()] : []), ...(serverGone ? [SERVER_GONE] : [])];
  line.textContent = parts.join(" · ");
  line.hidden = !parts.length;
  line.dataset.state = serverGone ? "gone" : isCutOff() ? "cut-off" : page.watched ? "running" : runState;
  const sentence = document.querySelector(".sentence");
  if (sentence) sentence.hidden = Boolean(runState);
}

const isCutOff = () => (page.watched ? hasProblem : !["running", "ended"].includes(runState));

async function takeEnd() {
  if (runState !== "running") return;
  const answer = await fetch("report.json");
  if (!answer.ok) throw new Error(`report.json: ${answer.status}`);
  const whole = await answer.json();
  updateRows(whole.cells);
  runState = "ended";
  await renewHead();
  showLive();
}

/** What the server writes above the sheet is of the moment when the page was opened: take what it would write now. */
async function renewHead() {
  const answer = await fetch("./");
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("header").replaceWith(fresh.querySelector("header"));
  document.querySelector(".problems")?.remove();
  const problems = fresh.querySelector(".problems");
  if (problems) document.getElementById("live").before(problems);
  showCopyButtons();
}

/** What a watched file says: it is being drawn, it is up to date, or it has a problem. */
function takeStatus({ text, is_problem }) {
  runState = text;
  hasProblem = is_problem;
  showLive();
}

function takeCutOff({ message, hint }) {
  runState = `${message} ${hint} krea-pipe run ${report.pipeline.file}`;
  showLive();
}

function takePicks(stages) {
  for (const [stage, state] of Object.entries(stages)) if (stagesByName.has(stage)) takeDecisions(stage, state);
}

/** Follow the run and the picks files for as long as the server is there. */
function startLive() {
  if (page.form !== "view") return;
  followServer();
  onRows(showLive);
  setInterval(() => {
    if (runState === "running") showLive();
  }, PACE_SECONDS * 1000);
  showLive();
}

/** Follow the run that the page shows. */
function followServer() {
  const stream = new EventSource(`events?since=${encodeURIComponent(report.finished_at)}&run=${encodeURIComponent(report.run_id)}`);
  const follow = (name, take) => stream.addEventListener(name, ({ data }) => take(JSON.parse(data)));
  const setGone = (gone) => {
    serverGone = gone;
    showLive();
  };
  follow("rows", updateRows);
  follow("ended", () => takeEnd().catch(() => setGone(true)));
  follow("cut_off", takeCutOff);
  follow("picks", takePicks);
  follow("status", takeStatus);
  follow("rerun", () => {
    stream.close();
    takeRerun().catch(() => setGone(true));
  });
  follow("bye", () => {
    stream.close();
    setGone(true);
  });
  stream.addEventListener("open", () => setGone(false));
  stream.addEventListener("error", () => setGone(true));
}

/**
 * Have decisions about cells of a stage written into its picks file: {add: [{id, stars, note}], reject: [{id, …}],
 * remove: [id]}. Of stars and note, what is not named stays, and null or "" clears it. Gives what the file holds then;
 * throws {code, message, hint}, and then nothing was written.
 */
async function savePicks(stage, change) {
  const lost = { code: "server_gone", message: "The server has stopped, so nothing was saved.", hint: "Restart it with krea-pipe view" };
  let answer;
  let said;
  try {
    answer = await fetch(`picks/${encodeURIComponent(stage)}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(change) });
    said = await answer.json();
  } catch {
    said = null;
  }
  if (answer?.ok && said) return said;
  throw Object.assign(new Error(), said?.message ? said : lost);
}
