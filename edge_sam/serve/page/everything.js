/** Everything mode: all masks of a photograph. */

import { askEverything } from './api.js';
import { patiently } from './decoding/server.js';
import { FoundMasks } from './masks/found.js';
import { RleMask } from './masks/mask.js';

export class Everything extends FoundMasks {
  /** Ask the server, and call `changed` after each line. Returns the summary; null if it was stopped. */
  async run(photograph, changed) {
    try {
      const lines = await patiently(photograph, (id) => askEverything(id, this.signal), { signal: this.signal });
      for await (const line of lines) {
        if (line.error) throw new Error(line.error.message);
        if (line.summary) return line.summary;
        if (line.removed) this.remove(line.removed);
        if (line.mask) this.add(line.id, new RleMask(line.mask));
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
}
