/* Deciding: keys, the marks of a caption, and the editor in the detail panel. */

/** What a cell's caption shows of decisions: that there is a note, and what others say; the rest is on its picture. */
function decisionMarks(cell) {
  const { note } = decisionOf(cell);
  return [...(note ? [make("span", { className: "noted", title: note, textContent: "note" })] : []), ...otherMarks(cell)];
}

const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const starsText = (stars) => counted(stars, "star");

/** A decision in words, for names that a screen reader says; "" where nothing is decided. */
function decisionWords(cell) {
  const { picked, rejected, stars, note } = decisionOf(cell);
  const word = picked ? (stars ? starsText(stars) : "picked") : rejected ? "rejected" : "";
  return [word, note && `note: ${note}`].filter(Boolean).join(", ");
}

/** The stars, the two words and the note of one cell; it follows the cell's decision as long as it is in the page. */
function decisionEditor(cell) {
  const editor = make("div", { className: "decision", role: "group", "aria-label": "Decision", "data-index": cell.index, hidden: isDiff });
  const stars = [1, 2, 3, 4, 5].map((count) => decisionButton(cell, { "aria-label": starsText(count), "data-stars": count, textContent: "★" }, () => giveStars([cell], count)));
  const pick = decisionButton(cell, { "data-decide": "pick", textContent: "Pick" }, () => togglePick([cell]));
  const reject = decisionButton(cell, { "data-decide": "reject", textContent: "Reject" }, () => toggleReject([cell]));
  const note = noteField(cell);
  const waits = make("p", { className: "waits", textContent: "The note is kept in this browser. It is added to the picks file with a pick or a rejection." });
  editor.append(make("div", { className: "stars-row", role: "group", "aria-label": "Stars" }, ...stars), pick, reject, make("label", {}, make("span", { textContent: "Note" }), note), waits, make("ul", { className: "others", "aria-label": "Decisions of others" }));
  showDecision(editor);
  return editor;
}

function decisionButton(cell, properties, act) {
  const button = make("button", { type: "button", "aria-pressed": "false", ...properties });
  button.addEventListener("click", act);
  return button;
}

/** Enter saves and so does leaving the field; Escape brings the old text back; Shift+Enter begins a new line. */
function noteField(cell) {
  const field = make("textarea", { rows: 2, spellcheck: true, "aria-description": "Enter saves, Escape cancels" });
  field.addEventListener("change", () => decide(cell, { note: field.value }));
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key) || event.shiftKey) return;
    if (event.key === "Escape") field.value = decisionOf(cell).note;
    event.preventDefault();
    event.stopPropagation();
    decide(cell, { note: field.value });
    field.closest("dialog")?.focus();
    field.blur();
  });
  return field;
}

function showDecision(editor) {
  const { picked, rejected, stars, note } = decisionOf(cells[editor.dataset.index]);
  for (const button of editor.querySelectorAll("[data-stars]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.stars) === stars));
    button.classList.toggle("lit", Number(button.dataset.stars) <= stars);
  }
  editor.querySelector('[data-decide="pick"]').setAttribute("aria-pressed", String(picked));
  editor.querySelector('[data-decide="reject"]').setAttribute("aria-pressed", String(rejected));
  editor.querySelector(".waits").hidden = picked || rejected || !note;
  showOthers(editor.querySelector(".others"), cells[editor.dataset.index]);
  const field = editor.querySelector("textarea");
  if (field !== document.activeElement) field.value = note;
}

/** The same stars again take them away, and leave the cells picked. */
function giveStars(some, stars) {
  const hasAll = some.every((cell) => decisionOf(cell).picked && decisionOf(cell).stars === stars);
  decideAbout(some, hasAll ? { stars: 0 } : { stars });
}

function togglePick(some) {
  decideAbout(some, { picked: !some.every((cell) => decisionOf(cell).picked) });
}

function toggleReject(some) {
  decideAbout(some, { rejected: !some.every((cell) => decisionOf(cell).rejected) });
}

/** Open the note of cells: in the panel where the cell is open there, else in a dialog. */
function editNote(some) {
  const field = document.querySelector(`#detail[open] .decision[data-index="${some[0].index}"] textarea`);
  if (field) field.focus();
  else openNote(some);
}

function openNote(some) {
  const dialog = document.getElementById("note-dialog");
  const field = dialog.querySelector("textarea");
  notedCells = some;
  dialog.querySelector("h2").textContent = some.length > 1 ? `Note on ${some.length} cells` : saidName(some[0]);
  dialog.querySelector(".waits").hidden = some.every(decisionState);
  field.value = some.every((cell) => decisionOf(cell).note === decisionOf(some[0]).note) ? decisionOf(some[0]).note : "";
  dialog.showModal();
  field.focus();
  field.select();
}

/** The cells that the open note is about. */
let notedCells = [];

function noteDialog() {
  const title = make("h2", { id: "note-title" });
  const field = make("textarea", { rows: 3, "aria-labelledby": "note-title", "aria-description": "Enter saves, Escape cancels" });
  const waits = make("p", { className: "waits", textContent: "The cell is neither picked nor rejected: until it is, the note stays in this browser." });
  const save = make("button", { type: "button", className: "action", textContent: "Save note" });
  const leave = make("button", { type: "button", className: "action", textContent: "Cancel" });
  const dialog = make("dialog", { id: "note-dialog", className: "asks", "aria-labelledby": "note-title" }, title, field, waits, make("div", { className: "actions" }, save, leave));
  const keep = () => {
    dialog.close();
    decideAbout(notedCells, { note: field.value });
  };
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    keep();
  });
  save.addEventListener("click", keep);
  leave.addEventListener("click", () => dialog.close());
  return dialog;
}

/** Ask before something is lost; act() is called when the reader says so. */
function askFirst(question, verb, act) {
  const dialog = make("dialog", { className: "asks", "aria-labelledby": "asked" });
  const yes = make("button", { type: "button", className: "action", textContent: verb });
  const no = make("button", { type: "button", className: "action", textContent: "Keep" });
  dialog.append(make("p", { id: "asked", textContent: question }), make("div", { className: "actions" }, yes, no));
  yes.addEventListener("click", () => {
    dialog.close();
    act();
  });
  no.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
}

/** A key that decides about cells: not without one, and not under a question. */
function bindDecision(keys, help, act) {
  bindKeys(keys, help, (cell, event) => {
    const some = decidedCells(cell);
    if (!some.length || document.querySelector("dialog.asks[open]")) return false;
    const goOn = wayOn(some);
    act(some, event.key);
    goOn?.(event.key);
    return true;
  }, "Decide");
}

/** Take back the last decision, and show the cell that it was about. */
function undoAndShow() {
  const indexes = undoDecision();
  const [index] = indexes;
  if (index === undefined) return;
  if (view.comparing) takeInHand(cells[index].id);
  else if (view.cell) setView({ cell: cells[index].id });
  else revealCell(index, { focus: true });
  announce(`Undone: ${indexes.length > 1 ? counted(indexes.length, "cell") : saidName(cells[index])}`);
}

const decisionSaid = make("div", { id: "decision-said", className: "unseen", role: "status" });

/** Say something to a screen reader, which hears nothing from outside an open dialog. */
function announce(text) {
  const place = document.querySelector("dialog[open]") ?? document.body;
  if (decisionSaid.parentElement !== place) place.append(decisionSaid);
  decisionSaid.textContent = text;
}

function announceDecisions(indexes) {
  if (indexes.length) announce(`${indexes.length > 1 ? `${counted(indexes.length, "cell")}: ` : ""}${decisionWords(cells[indexes[0]]) || "not decided"}`);
  for (const editor of document.querySelectorAll(".decision")) showDecision(editor);
}

function startDeciding() {
  document.body.append(noteDialog(), decisionSaid);
  if (isDiff) return;
  bindDecision(["1", "2", "3", "4", "5"], "give stars; press again to remove them (the cell stays picked)", (some, key) => giveStars(some, Number(key)));
  bindDecision(["p"], "pick without stars, or remove the pick", togglePick);
  bindDecision(["x"], "reject, or remove the rejection", toggleReject);
  bindDecision(["0", "Backspace"], "remove the decision and the note", (some) => decideAbout(some, NO_DECISION));
  bindDecision(["n"], "write a note: Enter saves, Escape cancels", editNote);
  bindKeys(["z"], "undo the last decision", () => (document.querySelector("dialog.asks[open]") ? false : undoAndShow()), "Decide");
  onDecisions(announceDecisions);
}
