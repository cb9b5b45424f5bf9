/**
 * Masks, whoever decoded them: `score` (predicted IoU), `area` in pixels, `box` (XYXY), `bitmap(size)` in the
 * photograph's size or a smaller one, and `rle()` as in COCO JSON. `path` and `extent` are for the screen: they come from
 * a reduced bitmap, so they are quick for any photograph.
 */

import { bitmapOfRuns, measure, reduced } from './bitmap.js';
import { pathData, smooth, traceEdges } from './outline.js';
import { encodeRle, readRuns } from './rle.js';

const SHOWN = 1280; // Longest side of the bitmap behind an outline on the screen.

class Mask {
  #path;
  #extent;

  constructor(width, height, score) {
    Object.assign(this, { width, height, score });
  }

  /** The outline as a Path2D in pixels of the photograph, for the rule `evenodd`. */
  get path() {
    if (!this.#path) {
      const shown = this.#shown();
      const rings = traceEdges(shown).map(smooth);
      this.#path = new Path2D(pathData(rings, this.width / shown.width, this.height / shown.height));
    }
    return this.#path;
  }

  /** About what part of the photograph it covers, from 0 to 1, and the box around that: `{share, box}`. */
  get extent() {
    if (!this.#extent) {
      const shown = this.#shown();
      const { area, box } = measure(shown);
      const [right, down] = [this.width / shown.width, this.height / shown.height];
      this.#extent = {
        share: area / (shown.width * shown.height),
        box: box.map((side, i) => side * (i % 2 ? down : right)),
      };
    }
    return this.#extent;
  }

  #shown() {
    return this.bitmap(reduced(this, SHOWN));
  }
}

/** A mask as the server sends it. */
export class RleMask extends Mask {
  #rle;
  #runs;

  constructor({ score, area, box, rle }) {
    super(rle.size[1], rle.size[0], score);
    Object.assign(this, { area, box });
    this.#rle = rle;
  }

  bitmap(size) {
    this.#runs ??= readRuns(this.#rle);
    return bitmapOfRuns(this.#runs, this.width, this.height, size);
  }

  rle() {
    return this.#rle;
  }
}

/** A mask as the decoder leaves it: low-res logits, which are enlarged to the size that is wanted. */
export class LogitMask extends Mask {
  #geometry;
  #logits;
  #measured;

  constructor(logits, geometry, score) {
    super(geometry.width, geometry.height, score);
    this.#logits = logits;
    this.#geometry = geometry;
  }

  bitmap(size = { width: this.width, height: this.height }) {
    return this.#geometry.enlarge(this.#logits, size);
  }

  get area() {
    return this.#measure().area;
  }

  get box() {
    return this.#measure().box;
  }

  rle() {
    return encodeRle(this.bitmap());
  }

  #measure() {
    this.#measured ??= measure(this.bitmap());
    return this.#measured;
  }
}
