/** Everything mode: masks that come one by one, and the one under the pointer. */

import { askEverything } from './api.js';
import { reduced } from './masks/bitmap.js';
import { RleMask } from './masks/mask.js';

const MAP = 768; // Longest side of the map that finds the mask at a place.

export class Everything {
  masks = [];
  hovered = null;
  running = true;
  #abort = new AbortController();
  #byId = new Map();
  #size;
  #map = null; // For each pixel the smallest mask there; null: to be drawn anew.

  constructor({ width, height }) {
    this.#size = { width, height, map: reduced({ width, height }, MAP) };
  }

  /** Ask the server, and call `changed` after each line. Returns the summary; null if it was stopped. */
  async run(photograph, changed) {
    try {
      for await (const line of askEverything(photograph.id, this.#abort.signal)) {
        if (line.error) throw new Error(line.error.message);
        if (line.summary) return line.summary;
        this.#take(line);
        changed();
      }
      throw new Error('The server stopped before it had found everything.');
    } catch (error) {
      if (error.name === 'AbortError') return null;
      throw error;
    } finally {
      this.running = false;
      changed();
    }
  }

  stop() {
    this.#abort.abort();
  }

  /** The smallest mask at [x, y] in pixels of the photograph, or null. */
  at([x, y]) {
    if (!this.#map) {
      this.#map = [];
      this.masks.forEach((mask) => this.#enter(mask));
    }
    const { width, height, map } = this.#size;
    return this.#map[Math.floor((y * map.height) / height) * map.width + Math.floor((x * map.width) / width)] ?? null;
  }

  #take({ id, mask, removed = [] }) {
    for (const each of removed) this.#byId.delete(each);
    if (removed.length) this.#map = null;
    if (mask) {
      const made = new RleMask(mask);
      made.colour = `hsl(${(id * 137.5) % 360} 70% 55%)`; // Steps of the golden angle: neighbours differ.
      this.#byId.set(id, made);
      if (this.#map) this.#enter(made);
    }
    this.masks = [...this.#byId.values()].sort((a, b) => b.area - a.area);
  }

  #enter(mask) {
    mask.bitmap(this.#size.map).data.forEach((inside, i) => {
      if (inside && !(this.#map[i]?.area < mask.area)) this.#map[i] = mask;
    });
  }
}
