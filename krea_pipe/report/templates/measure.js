/* How much room text takes, computed: no element has to be laid out for it. */

const PEN = document.createElement("canvas").getContext("2d");
const FACES = { head: { weight: 600, size: 13, line: 18 }, caption: { weight: 400, size: 12, line: 17 } };
const wordWidths = { head: new Map(), caption: new Map() };

/** Fonts differ a little between what is measured and what is drawn; a line too many is better than one cut off. */
const SAFE = 0.97;

function widthOf(text, face) {
  const known = wordWidths[face];
  let width = known.get(text);
  if (width === undefined) {
    const { weight, size } = FACES[face];
    PEN.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
    width = PEN.measureText(text).width;
    if (known.size > 20_000) known.clear();
    known.set(text, width);
  }
  return width;
}

/** How many lines a text takes in a box; words break where they are wider than it. */
function linesIn(text, width, face) {
  if (!text) return 0;
  const room = Math.max(8, width * SAFE);
  let lines = 1;
  let used = 0;
  for (const word of text.split(/(?<=[ \n])/)) {
    const full = widthOf(word, face);
    if (used + widthOf(word.trimEnd(), face) <= room) {
      used += full;
      continue;
    }
    const pieces = Math.max(1, Math.ceil(full / room));
    lines += (used ? 1 : 0) + pieces - 1;
    used = full - (pieces - 1) * room;
  }
  return lines;
}

const textHeight = (text, width, face) => linesIn(text, width, face) * FACES[face].line;

/** The width under which the words of a text would be broken apart. */
const longestWord = (text, face) => Math.ceil(Math.max(0, ...text.split(/[ \n]/).map((word) => widthOf(word, face))) / SAFE);
