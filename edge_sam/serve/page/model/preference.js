/**
 * Which of three masks to show first. It is the rule of `edge_sam/preference.py`, which says why.
 *
 * Points select the object: the largest of the masks whose predicted IoU comes close to the best. A box shows the
 * object's size, which selects the best predicted IoU.
 */

const MARGIN = 0.06; // Farthest from the best predicted IoU.
const MIN_AREA = 0.01; // Smallest fraction of the photograph.
const MAX_OUTLINE = 0.2; // Largest fraction of the photograph's outline that an object touches.

/**
 * Return the index of the mask to show.
 *
 * `masks` are `{score, cells}`, where `cells` is a bitmap of the low-res cells that the photograph covers.
 */
export function preferred(masks, hasBox) {
  const best = masks.reduce((found, mask, i) => (mask.score > masks[found].score ? i : found), 0);
  const close = masks.flatMap((mask, i) => (mask.score >= masks[best].score - MARGIN ? [i] : []));
  if (hasBox || close.length === 1) return best;
  const areas = masks.map(({ cells }) => cells.data.reduce((sum, cell) => sum + cell, 0));
  const isObject = (i) => areas[i] >= MIN_AREA * masks[i].cells.data.length && touched(masks[i].cells) <= MAX_OUTLINE;
  return close.filter(isObject).reduce((found, i) => (areas[i] > areas[found] ? i : found), best);
}

/** Return the fraction of the outline that a bitmap touches. */
function touched({ width, height, data }) {
  let sum = 0;
  for (let x = 0; x < width; x += 1) sum += data[x] + data[(height - 1) * width + x];
  for (let y = 0; y < height; y += 1) sum += data[y * width] + data[y * width + width - 1];
  return sum / (2 * (width + height));
}
