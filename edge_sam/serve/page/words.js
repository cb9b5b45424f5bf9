/** Words: the masks of what they describe. */

import { askWords } from './api.js';
import { patiently } from './decoding/server.js';
import { FoundMasks } from './masks/found.js';
import { RleMask } from './masks/mask.js';

/** The texts in what the user types: commas are between them. */
export const textsOf = (typed) => typed.split(',').map((text) => text.trim()).filter(Boolean);

export class Words extends FoundMasks {
  /** Ask the server. Returns its answer; null if it was stopped. */
  async run(photograph, texts) {
    try {
      const answer = await patiently(photograph, (id) => askWords(id, texts, this.signal), { signal: this.signal });
      answer.masks.forEach((mask, i) => {
        const made = new RleMask({ ...mask, score: mask.predicted_iou });
        this.add(i, Object.assign(made, { name: mask.text, match: mask.score }));
      });
      return answer;
    } catch (error) {
      if (error.name === 'AbortError') return null;
      throw error;
    } finally {
      this.running = false;
    }
  }
}
