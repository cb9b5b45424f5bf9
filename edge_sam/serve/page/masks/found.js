/** Masks that were found without a prompt: they come one by one, and one of them is under the pointer. */

import { reduced } from './bitmap.js';

const MAP = 768; // Longest side of the map that finds the mask at a place.

export class FoundMasks {
  hovered = null;
  running = true;
  #abort = new AbortController();
  #byId = new Map();
  #sorted = [];
  #size;
  #map = null; // For each pixel the smallest mask there; null: to be drawn anew.

  constructor({ width, height }) {
    this.#size = { width, height, map: reduced({ width, height }, MAP) };
  }

  /** The masks, the largest first. */
  get masks() {
    return this.#sorted;
  }

  /** Aborts the request that looks for masks. */
  get signal() {
    return this.#abort.signal;
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

  add(id, mask) {
    mask.colour = `hsl(${(id * 137.5) % 360} 70% 55%)`; // Steps of the golden angle: neighbours differ.
    this.#byId.set(id, mask);
    if (this.#map) this.#enter(mask);
    this.#sort();
  }

  remove(ids) {
    for (const id of ids) this.#byId.delete(id);
    this.#map = null;
    this.#sort();
  }

  #sort() {
    this.#sorted = [...this.#byId.values()].sort((a, b) => b.area - a.area);
  }

  #enter(mask) {
    mask.bitmap(this.#size.map).data.forEach((inside, i) => {
      if (inside && !(this.#map[i]?.area < mask.area)) this.#map[i] = mask;
    });
  }
}
