/* The list of failures by cause: links to cells, and commands to copy. */

/** Commands can be copied where scripts run. */
function showCopyButtons() {
  for (const button of document.querySelectorAll(".problems [data-copy]")) button.hidden = false;
}

async function copyCommand({ target }) {
  const button = target.closest?.(".problems [data-copy]");
  if (!button) return;
  const done = await copyText(button.previousElementSibling.textContent, button);
  button.textContent = done ? "Copied" : "Could not copy";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function startProblems() {
  showCopyButtons();
  document.addEventListener("click", copyCommand);
}
