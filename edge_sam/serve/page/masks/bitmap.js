/** Bitmaps: `{width, height, data}` with one byte for each pixel, row by row, 1 inside the mask. */

/**
 * Draw run lengths of a `width` × `height` mask into a bitmap of another size, taking the nearest pixel.
 *
 * One pass over the runs serves all columns, so a preview of a large photograph costs only its own pixels.
 */
export function bitmapOfRuns(runs, width, height, target = { width, height }) {
  const data = new Uint8Array(target.width * target.height);
  const rowAfter = rowsAfter(height, target.height);
  let run = 0;
  let start = 0; // Of the run, counted down the columns of the mask.
  for (let x = 0; x < target.width; x += 1) {
    const top = Math.floor(((x + 0.5) * width) / target.width) * height;
    while (run < runs.length && start + runs[run] <= top) {
      start += runs[run];
      run += 1;
    }
    for (let i = run, at = start; i < runs.length && at < top + height; at += runs[i], i += 1) {
      if (i % 2 === 0) continue;
      const last = rowAfter[Math.min(at + runs[i] - top, height)];
      for (let y = rowAfter[Math.max(at - top, 0)]; y < last; y += 1) data[y * target.width + x] = 1;
    }
  }
  return { ...target, data };
}

/** For each row of the mask, and for its end: the first row of the target at or after it. */
function rowsAfter(height, rows) {
  const after = new Int32Array(height + 1);
  for (let y = 0; y <= height; y += 1) after[y] = Math.max(0, Math.min(rows, Math.ceil((y * rows) / height - 0.5)));
  return after;
}

/** Count the pixels inside, and find the tight box around them: XYXY, its end one past the last pixel. */
export function measure({ width, height, data }) {
  let [area, left, top, right, bottom] = [0, width, height, 0, 0];
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      if (!data[i]) continue;
      area += 1;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  return { area, box: area ? [left, top, right, bottom] : [0, 0, 0, 0] };
}

/** Return the size of `{width, height}` reduced so that no side is longer than `longest`. */
export function reduced({ width, height }, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}
