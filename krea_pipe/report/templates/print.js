/* Printing: all cells at once, in a width that fits A4 and Letter. */

const PRINT_WIDTH = 680;
const PRINT_SIZE = 150;
const MOST_PRINTED = 1_000;

/** More cells than a browser prints well are left to the command. */
function startPrint() {
  window.addEventListener("beforeprint", () => {
    const isTooMuch = shownOrder.length > MOST_PRINTED;
    document.getElementById("too-many").hidden = !isTooMuch;
    isPrinting = true;
    document.documentElement.classList.toggle("prints-all", !isTooMuch);
    document.documentElement.classList.toggle("prints-none", isTooMuch);
    if (!isTooMuch) layOut();
  });
  window.addEventListener("afterprint", () => {
    isPrinting = false;
    document.documentElement.classList.remove("prints-all", "prints-none");
    document.getElementById("too-many").hidden = true;
    layOut();
  });
}
