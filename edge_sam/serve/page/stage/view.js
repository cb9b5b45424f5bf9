/** Which part of the photograph the stage shows: a scale and an offset, in CSS pixels of the stage. */

const MARGIN = 16;
const TOOLBAR = 64; // Space that the toolbar takes at the bottom.
const MOST = 16; // Largest magnification of a photograph's pixel.

export class View {
  scale = 1;
  x = 0;
  y = 0;
  #fitted = true;

  /** Set the sizes. A photograph that filled the stage fills it again. */
  resize(stage, photograph) {
    Object.assign(this, { stage, photograph });
    if (this.#fitted) this.fit();
    else this.#clamp();
  }

  /** Show the whole photograph. */
  fit() {
    this.#fitted = true;
    this.scale = this.#smallest();
    this.x = (this.stage.width - this.photograph.width * this.scale) / 2;
    this.y = (this.stage.height - TOOLBAR - this.photograph.height * this.scale) / 2;
  }

  /** Convert a place on the stage to pixels of the photograph. */
  toPhotograph([x, y]) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  /** Magnify by a factor around a place on the stage. */
  zoom(factor, [x, y]) {
    const scale = Math.min(MOST, Math.max(this.#smallest(), this.scale * factor));
    const change = scale / this.scale;
    this.scale = scale;
    this.x = x - (x - this.x) * change;
    this.y = y - (y - this.y) * change;
    this.#fitted = scale === this.#smallest();
    if (this.#fitted) this.fit();
    else this.#clamp();
  }

  pan(dx, dy) {
    if (this.#fitted) return;
    this.x += dx;
    this.y += dy;
    this.#clamp();
  }

  #smallest() {
    const { stage, photograph } = this;
    const width = Math.max(1, stage.width - 2 * MARGIN);
    const height = Math.max(1, stage.height - 2 * MARGIN - TOOLBAR);
    return Math.min(MOST, width / photograph.width, height / photograph.height);
  }

  /** Keep a part of the photograph in sight. */
  #clamp() {
    const limit = (offset, length, stage) => Math.min(stage - 60, Math.max(60 - length, offset));
    this.x = limit(this.x, this.photograph.width * this.scale, this.stage.width);
    this.y = limit(this.y, this.photograph.height * this.scale, this.stage.height);
  }
}
