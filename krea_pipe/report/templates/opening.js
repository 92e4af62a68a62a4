/* The opening of the page: what the window shows comes first. */

/** Whether the first pictures are not painted yet: what is out of sight waits for them. */
let isOpening = true;
const waitsForOpening = [];

/** Do something as soon as the first pictures are painted. */
function onceOpened(act) {
  waitsForOpening.push(act);
}

function finishOpening() {
  isOpening = false;
  for (const act of waitsForOpening.splice(0)) act();
}

/** Pictures are painted within two frames after they are loaded. */
function startOpening() {
  window.addEventListener("load", () => requestAnimationFrame(() => requestAnimationFrame(finishOpening)));
  window.addEventListener("beforeprint", finishOpening);
}
