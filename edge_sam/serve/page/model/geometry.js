/**
 * Where a photograph lies in the frame of a model, in whose pixels the decoder takes points.
 *
 * The decoder's logits have one cell for each 4×4 pixels of the frame.
 */

const CELL = 4;

export class Geometry {
  /** `width` and `height` are the photograph's in pixels, `scaledWidth` and `scaledHeight` those in the frame. */
  constructor({ width, height, scaledWidth, scaledHeight }) {
    Object.assign(this, { width, height, scaledWidth, scaledHeight });
  }

  /** Convert [x, y] from pixels of the photograph to pixels of the frame. */
  toFrame([x, y]) {
    return [(x * this.scaledWidth) / this.width, (y * this.scaledHeight) / this.height];
  }

  /** The bitmap of the cells that the photograph covers: 1 where logits, `{data, rows, columns}`, are above 0. */
  cells(logits) {
    const [width, height] = [Math.ceil(this.scaledWidth / CELL), Math.ceil(this.scaledHeight / CELL)];
    const data = new Uint8Array(width * height);
    for (let y = 0, i = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, i += 1) data[i] = logits.data[y * logits.columns + x] > 0 ? 1 : 0;
    }
    return { width, height, data };
  }

  /** Interpolate logits, `{data, rows, columns}`, to a bitmap of the photograph, of its size or a smaller one. */
  enlarge({ data: values, rows, columns }, { width, height }) {
    const across = samples(width, this.scaledWidth, columns);
    const down = samples(height, this.scaledHeight, rows);
    const data = new Uint8Array(width * height);
    const line = new Float32Array(columns);
    for (let y = 0, i = 0; y < height; y += 1) {
      const [above, below, share] = [columns * down.first[y], columns * down.second[y], down.share[y]];
      for (let x = 0; x < columns; x += 1) {
        line[x] = values[above + x] + (values[below + x] - values[above + x]) * share;
      }
      for (let x = 0; x < width; x += 1, i += 1) {
        const left = line[across.first[x]];
        data[i] = left + (line[across.second[x]] - left) * across.share[x] > 0 ? 1 : 0;
      }
    }
    return { width, height, data };
  }
}

/** For each pixel along one axis: the two cells around its middle, and the share of the second. */
function samples(pixels, scaled, cells) {
  const last = Math.min(Math.ceil(scaled / CELL) + 1, cells) - 1;
  const first = new Int32Array(pixels);
  const second = new Int32Array(pixels);
  const share = new Float32Array(pixels);
  for (let i = 0; i < pixels; i += 1) {
    const at = Math.max(0, ((i + 0.5) * scaled) / pixels / CELL - 0.5);
    first[i] = Math.min(last, Math.floor(at));
    second[i] = Math.min(last, first[i] + 1);
    share[i] = at - first[i];
  }
  return { first, second, share };
}
