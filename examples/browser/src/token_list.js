/**
 * The image tokens that the decoder takes: those of the photograph, and one for each block of the padding.
 *
 * It is the list of `edge_sam/inference/token_list.py`, which says why.
 */

const GRID = 64; // Tokens along one side of the frame.

const BLOCK = 3; // Side of a block in tokens.

/**
 * List the tokens for a photograph that covers so many rows and columns: `index` has their places in the grid of the
 * frame, row by row, and `count` says of how many tokens each takes the place.
 */
export function tokenList(rows, columns) {
  const index = [];
  const count = [];
  for (let y = 0; y < rows; y += 1) {
    for (let x = 0; x < columns; x += 1) {
      index.push(y * GRID + x);
      count.push(1);
    }
  }
  for (const down of stretches(rows)) {
    for (const across of stretches(columns)) {
      if (down.middle < rows && across.middle < columns) continue;
      index.push(down.middle * GRID + across.middle);
      count.push(down.length * across.length);
    }
  }
  return { index, count };
}

/** Cut one axis of the grid at the photograph's edge and every `BLOCK` tokens from there, both ways. */
function stretches(edge) {
  const bounds = [0];
  for (let at = edge % BLOCK || BLOCK; at < GRID; at += BLOCK) bounds.push(at);
  bounds.push(GRID);
  return bounds.slice(1).map((end, i) => ({ middle: (bounds[i] + end) >> 1, length: end - bounds[i] }));
}
