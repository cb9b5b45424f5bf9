/** The stage: the photograph with what is drawn over it, and what pointers and keys do there. */

import { drawOverlay, drawPhotograph } from './drawing.js';
import { listenToPointer } from './pointer.js';
import { View } from './view.js';

export class Stage {
  #section = document.getElementById('stage');
  #photograph = document.getElementById('photograph');
  #overlay = document.getElementById('overlay');
  #view = new View();
  #workspace;
  #drawn = null; // The photograph that the lower canvas shows.
  #frame = 0;
  #corner = null; // Where a box from the keyboard begins.

  /** `actions` has `point(at, label)`, `box(box)`, `hover(at)` and `pick(at)`, in pixels of the photograph. */
  constructor(workspace, actions) {
    this.#workspace = workspace;
    const photographed = (place) => this.#view.toPhotograph(place);
    const ready = () => Boolean(workspace.photograph?.id);
    listenToPointer(this.#overlay, {
      point: (place, off) => {
        if (workspace.cursor) workspace.set({ cursor: null });
        const at = this.#inside(photographed(place));
        if (ready() && at) actions.point(at, off ? 0 : workspace.sign);
      },
      dragging: (from, to) => {
        if (!ready() || workspace.found) return;
        workspace.set({ dragged: from && this.#box(photographed(from), photographed(to)) });
      },
      box: (from, to) => {
        const box = this.#box(photographed(from), photographed(to));
        if (ready() && box) actions.box(box);
      },
      hover: (place) => actions.hover(place && ready() ? this.#inside(photographed(place)) : null),
      zoom: (factor, place) => this.#change(() => this.#view.zoom(factor, place)),
      pan: (dx, dy) => this.#change(() => this.#view.pan(dx, dy)),
    });
    this.#overlay.addEventListener('blur', () => workspace.cursor && workspace.set({ cursor: null }));
    new ResizeObserver(() => this.#resize()).observe(this.#section);
    workspace.addEventListener('change', () => this.#redraw());
  }

  /** Show the whole photograph. */
  fit() {
    this.#change(() => this.#view.fit());
  }

  focus() {
    this.#overlay.focus({ preventScroll: true, focusVisible: false }); // The cursor shows where the keyboard is.
  }

  /** Move the keyboard's cursor by a fraction of the photograph's longer side. Returns its place. */
  moveCursor([dx, dy], fraction) {
    const { photograph, cursor } = this.#workspace;
    if (!photograph) return null;
    this.focus();
    const { width, height } = photograph;
    const step = fraction * Math.max(width, height);
    const [x, y] = cursor ?? [width / 2 - dx * step, height / 2 - dy * step];
    const moved = [clamp(x + dx * step, 0, width - 1), clamp(y + dy * step, 0, height - 1)];
    const dragged = this.#corner && this.#box(this.#corner, moved);
    this.#workspace.set({ cursor: moved, dragged });
    return moved;
  }

  /** Begin a box at the cursor; return the finished box the second time. */
  boxAtCursor() {
    const { cursor } = this.#workspace;
    if (!cursor) return null;
    const box = this.#corner && this.#box(this.#corner, cursor);
    this.#corner = this.#corner ? null : cursor;
    if (!this.#corner) this.#workspace.set({ dragged: null });
    return box;
  }

  /** Forget a box that was begun. Returns whether there was one. */
  dropBox() {
    const begun = this.#corner !== null;
    this.#corner = null;
    if (begun) this.#workspace.set({ dragged: null });
    return begun;
  }

  #inside([x, y]) {
    const { width, height } = this.#workspace.photograph;
    return x >= 0 && y >= 0 && x < width && y < height ? [x, y] : null;
  }

  /** The box between two corners, within the photograph; null if nothing is left. */
  #box([ax, ay], [bx, by]) {
    const { width, height } = this.#workspace.photograph;
    const [x0, x1] = [ax, bx].map((x) => clamp(x, 0, width)).sort((a, b) => a - b);
    const [y0, y1] = [ay, by].map((y) => clamp(y, 0, height)).sort((a, b) => a - b);
    return x1 - x0 >= 1 && y1 - y0 >= 1 ? [x0, y0, x1, y1] : null;
  }

  #change(work) {
    if (!this.#workspace.photograph) return;
    work();
    this.#drawn = null;
    this.#redraw();
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.#section;
    for (const canvas of [this.#photograph, this.#overlay]) {
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
    }
    const { photograph } = this.#workspace;
    if (photograph) this.#view.resize({ width, height }, photograph);
    this.#drawn = null;
    this.#draw(); // Now: a canvas is empty after its size changed.
  }

  #redraw() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { photograph } = this.#workspace;
    if (!photograph) return;
    if (this.#view.photograph !== photograph) {
      const { clientWidth: width, clientHeight: height } = this.#section;
      this.#view.resize({ width, height }, photograph);
      this.#view.fit();
      this.#drawn = null;
    }
    if (this.#drawn !== photograph) drawPhotograph(this.#photograph.getContext('2d'), this.#view, photograph);
    this.#drawn = photograph;
    drawOverlay(this.#overlay.getContext('2d'), this.#view, this.#workspace);
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
