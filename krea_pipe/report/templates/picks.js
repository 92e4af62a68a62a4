/* Picks files: their text, the export of the static page, and saving under `krea-pipe view`. */

/* What a plain YAML scalar may be without a second thought; all else is in double quotes, as JSON writes it. */
const PLAIN_TEXT = /^\p{L}[\p{L}\p{N}_./-]*(?: [\p{L}\p{N}_./-]+)*$/u;
const YAML_WORD = /^(?:true|false|null|yes|no|on|off|y|n)$/i;

/** A text as YAML on one line, inside braces as well. Characters that would break a line, or that nobody sees, are escaped. */
function picksYaml(text) {
  if (PLAIN_TEXT.test(text) && !YAML_WORD.test(text)) return text;
  return JSON.stringify(text).replace(/[\x7f-\x9f\u00a0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/* As in `pipeline.editing.picks`: the beginning of a key, in quotes where YAML would take it for a number. */
const KEY_DIGITS = 16;
const keyYaml = (key) => (/[a-df]/.test(key) ? key : `"${key}"`);

/** A decision as a line of a picks file, with the key of its request, by which it finds its cell under another name. */
function picksLine([id, { rejected, stars, note, key, by }]) {
  const known = (cellsById.get(id)?.key ?? key ?? "").slice(0, KEY_DIGITS);
  const said = [...(note ? [`note: ${picksYaml(note)}`] : []), ...(by ? [`by: ${picksYaml(by)}`] : [])];
  const more = [...(stars ? [`stars: ${stars}`] : []), ...said, ...(known ? [`key: ${keyYaml(known)}`] : [])];
  return `- {${[`${rejected ? "reject" : "pick"}: ${picksYaml(id)}`, ...more].join(", ")}}\n`;
}

/** The decisions of a stage as [id, decision]: those of its file in their order, then the cells in theirs. */
function decidedIn(stage) {
  const { lines, entries } = picksFiles.get(stage);
  const kept = lines.map(([id, filed]) => (entries.get(id) === filed && isOf(stage, id) ? readersLine(id, filed) : [id, filed]));
  const fresh = cells.filter((cell) => cell.stage === stage && decisionState(cell) && !entries.has(cell.id)).map((cell) => [cell.id, { ...decisionOf(cell), by: reviewer }]);
  return [...kept, ...fresh].filter(([, { picked, rejected }]) => picked || rejected);
}

/** What becomes of the line that counts for the reader: as soon as they change it, it has their name. */
function readersLine(id, filed) {
  const now = decisionOf(cellsById.get(id));
  return [id, sameDecision(now, filed) ? filed : { ...now, by: reviewer }];
}

const isOf = (stage, id) => cellsById.get(id)?.stage === stage;

/** A page for review gives back the decisions of its reader alone, for `pick --import`. */
const isForReview = Boolean(page.previews);
const isExported = ([, { by }]) => !isForReview || (by ?? "") === reviewer;

/** The text of a picks file with the decisions of a stage, by id; those about cells that are not in this run are kept. */
const picksText = (stage) => decidedIn(stage).filter(isExported).sort(inFileOrder).map(picksLine).join("");

/** By id, then by name. */
function inFileOrder([a, { by: one }], [b, { by: other }]) {
  return a === b ? ((one ?? "") < (other ?? "") ? -1 : 1) : a < b ? -1 : 1;
}

const fileNameOf = (path) => path.split(/[\\/]/).at(-1);

/** A file of a review has the name of its reader, so that those of several people have different names. */
function exportName(stage) {
  const name = fileNameOf(picksFiles.get(stage).file);
  const from = reviewer.replace(/[^\p{L}\p{N}]+/gu, "-") || "review";
  return isForReview ? name.replace(/(?:\.ya?ml)?$/, `-${from}.yaml`) : name;
}

function exportPicks(stage) {
  const address = URL.createObjectURL(new Blob([picksText(stage)], { type: "application/yaml" }));
  const link = make("a", { href: address, download: exportName(stage), hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  noteExport(stage);
}

async function copyPicks(stage, button) {
  const done = await copyText(picksText(stage), button);
  if (done) noteExport(stage);
  announce(done ? "Copied" : "Could not copy");
}

/* Under `krea-pipe view`: one request after the other, each with all that changed meanwhile. */

const picksSaving = new Map();

const savingOf = (stage) => picksSaving.get(stage) ?? { busy: false, error: null, saved: false };

function noteSaving(stage, change) {
  picksSaving.set(stage, { ...savingOf(stage), ...change });
  showSummaries();
}

async function saveChanges(stage) {
  if (savingOf(stage).busy) return;
  noteSaving(stage, { busy: true, error: null });
  try {
    for (let list = outstandingOf(stage); list.length; list = outstandingOf(stage)) await saveList(stage, list);
    noteSaving(stage, { busy: false, saved: true });
  } catch (error) {
    noteSaving(stage, { busy: false, error });
  }
}

const outstandingOf = (stage) => changesOf(stage).filter(([id, change]) => isOutstanding(id, change));

async function saveList(stage, list) {
  takeDecisions(stage, await savePicks(stage, requestFor(list)));
  // What the file still says otherwise is not asked for again and again: the file is right.
  for (const [id, { now }] of list) {
    const change = decisionChanges.get(id);
    if (change?.now === now && isOutstanding(id, change)) decisionChanges.delete(id);
  }
  tellDecisions(list.map(([id]) => cellsById.get(id).index));
}

function requestFor(list) {
  const request = { add: [], reject: [], remove: [] };
  for (const [id, { now }] of list) {
    if (filable(now) === now) request[now.picked ? "add" : "reject"].push({ id, stars: now.stars || null, note: now.note });
    else request.remove.push(id);
  }
  return request;
}

/* What the header of a stage says. */

const summaries = new Map();

/** How much of a stage is decided, and what is to be done with it: one element for each stage, always the same. */
function decisionSummary(stage) {
  if (!summaries.has(stage.name)) {
    summaries.set(stage.name, make("div", { className: "decisions", "data-stage": stage.name }));
    fillSummary(stage.name);
  }
  return summaries.get(stage.name);
}

function showSummaries() {
  for (const stage of summaries.keys()) fillSummary(stage);
}

function fillSummary(stage) {
  const summary = summaries.get(stage);
  summary.hidden = isDiff;
  const waiting = changesOf(stage).filter(([, { now }]) => now.note && filable(now) !== now).length;
  const parts = page.form === "view" ? savedParts(stage) : exportParts(stage, waiting);
  const focused = summary.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  const problem = savingOf(stage).error && outstandingOf(stage).length ? "" : picksFiles.get(stage).problem; // the error says it already
  summary.replaceChildren(
    make("span", { className: "counts", textContent: countsText(stage) }),
    ...(waiting ? [make("span", { className: "waits", textContent: `${waiting === 1 ? "1 note waits" : `${waiting} notes wait`} for a pick or a rejection` })] : []),
    ...parts,
    ...reviewerParts(stage),
    ...(problem ? [make("span", { className: "problem", textContent: problem })] : []),
    ...(decisionsKept ? [] : [make("span", { className: "problem", textContent: "This browser does not keep decisions: export them before you close the page" })]),
  );
  if (focused) summary.querySelector(`[data-act="${focused}"]`)?.focus();
}

function countsText(stage) {
  const members = cells.filter((cell) => cell.stage === stage);
  const decisions = members.map(countedDecision);
  const [picked, rejected] = ["picked", "rejected"].map((state) => decisions.filter((one) => one[state]).length);
  const elsewhere = new Set(picksFiles.get(stage).lines.map(([id]) => id).filter((id) => !isOf(stage, id))).size;
  const byOthers = reviewer ? members.filter((cell) => !decisionState(cell) && othersOf(cell).length).length : 0;
  if (!picked && !rejected && !elsewhere && !byOthers) return picksFiles.get(stage).problem ? "" : "Nothing picked yet: press 1 to 5 for stars, x to reject";
  const more = elsewhere ? [`${elsewhere} in the file ${elsewhere === 1 ? "is" : "are"} not in this run`] : [];
  return [`${picked} picked`, `${rejected} rejected`, `${members.length - picked - rejected} open${byOthers ? ` (${byOthers} decided by others)` : ""}`, ...more].join(", ");
}

function exportParts(stage, waiting) {
  const { file, lines } = picksFiles.get(stage);
  const outstanding = outstandingOf(stage).length;
  const exported = changesOf(stage).length - outstanding - waiting > 0;
  const buttons = [];
  const line = outstanding ? `${counted(outstanding, "change")} not exported yet` : exported ? `Exported: save the file as ${file}` : lines.length ? `as in ${file}` : "";
  if (outstanding || exported || decidedIn(stage).length) {
    buttons.push(summaryButton("export", `Export ${exportName(stage)}`, () => exportPicks(stage)), summaryButton("copy", "Copy YAML", (button) => copyPicks(stage, button)));
    buttons[0].title = `Downloads the whole file; put it at ${file}, in place of what is there`;
  }
  if (outstanding || waiting) buttons.push(summaryButton("discard", "Discard", () => askDiscard(stage, outstanding + waiting)));
  return [make("span", { className: "standing", textContent: line }), ...buttons];
}

function savedParts(stage) {
  const { busy, error, saved } = savingOf(stage);
  const { file, problem } = picksFiles.get(stage);
  const outstanding = outstandingOf(stage).length;
  if (busy || !outstanding) return [make("span", { className: "standing", textContent: busy ? "saving" : saved && !problem ? `saved in ${file}` : "" })];
  const why = error ? `: ${error.message ?? error}${error.hint ? `; ${error.hint}` : ""}` : "";
  return [
    make("span", { className: error ? "problem" : "standing", role: "alert", textContent: `${counted(outstanding, "change")} not saved${why}` }),
    summaryButton("save", error ? "Try again" : "Save", () => saveChanges(stage)),
    summaryButton("discard", "Discard", () => askDiscard(stage, outstanding)),
  ];
}

function summaryButton(act, label, run) {
  const button = make("button", { type: "button", className: "action", "data-act": act, textContent: label });
  button.addEventListener("click", () => run(button));
  return button;
}

function askDiscard(stage, count) {
  const back = changesOf(stage).some(([, { exported }]) => exported) ? "the last export" : picksFiles.get(stage).lines.length ? picksFiles.get(stage).file : "no decisions";
  askFirst(`Discard ${counted(count, "decision")} about ${stage}? The page returns to ${back}.`, "Discard", () => discardChanges(stage));
}

/** Follow decisions: the headers show them, and `krea-pipe view` writes them down. */
function startPicks() {
  onDecisions((indexes) => {
    showSummaries();
    if (page.form !== "view") return;
    for (const stage of new Set(indexes.map((index) => cells[index].stage))) if (outstandingOf(stage).length) saveChanges(stage);
  });
}
