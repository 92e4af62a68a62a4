const LIKENESS = /^d1:[0-9a-f]{320}$/;
/** Below this, two images look the same: what saving one again makes. */
const LIKENESS_NOISE = 0.01;
const likenessesRead = new Map();

/** The 160 bytes of a signature: 64 of light, 32 of colour, 64 of detail. Null if it is not known, or of another version. */
function likenessOf(signature) {
  if (likenessesRead.has(signature)) return likenessesRead.get(signature);
  const isKnown = LIKENESS.test(signature);
  const bytes = isKnown ? Uint8Array.from(signature.slice(3).match(/../g), (pair) => parseInt(pair, 16)) : null;
  likenessesRead.set(signature, bytes);
  return bytes;
}

/** How far the images of two signatures are apart, from 0 to 1, or null; the same number as `likeness.distance`. */
function likenessDistance(one, other) {
  const left = likenessOf(one);
  const right = likenessOf(other);
  if (!left || !right) return null;
  let total = 0;
  for (let index = 0; index < 160; index += 1) {
    const weight = index < 64 ? 1 : index < 96 ? 8 : 4;
    total += weight * (left[index] - right[index]) ** 2;
  }
  return Math.min(1, Math.sqrt(total / 64) / 255);
}
