/** Masks that are found without a click: everything mode, and words. One of them at a time is in `workspace.found`. */

import { Everything } from './everything.js';
import { say, showTimings } from './panel/messages.js';
import { timed } from './timing.js';
import { textsOf, Words } from './words.js';

export class Finding {
  #workspace;
  #fail;

  /** `fail(error)` shows an error. */
  constructor(workspace, fail) {
    this.#workspace = workspace;
    this.#fail = fail;
  }

  /** Find everything; leave it if that is what is shown. */
  async everything() {
    const { photograph, found: shown } = this.#workspace;
    if (shown instanceof Everything) return this.leave();
    if (!photograph?.id) return;
    const found = this.#enter(new Everything(photograph), 'Looking for everything…');
    const summary = await this.#timed(found, 'Everything', () => found.run(photograph, () => {
      if (this.#workspace.found !== found) return;
      this.#workspace.changed();
      if (found.running) say(`${found.masks.length} masks so far…`);
    }));
    if (summary) say(`${found.masks.length} masks. Click one to keep it; Keep takes all.`);
  }

  /** Find what words describe. Returns whether that gave masks. */
  async words(typed) {
    const { photograph } = this.#workspace;
    const texts = textsOf(typed);
    if (!photograph || !texts.length) return false;
    if (!photograph.id) {
      say('Wait until the photograph is encoded.');
      return false;
    }
    const found = this.#enter(new Words(photograph), `Looking for ${texts.join(', ')}…`);
    const answer = await this.#timed(found, 'Words', () => found.run(photograph, texts));
    if (!answer) return false;
    showTimings({ 'Match': answer.timings.match ?? null });
    const { length } = found.masks;
    const absent = answer.absent.length ? `Nothing fits ${answer.absent.join(', ')}.` : '';
    if (!length) this.leave();
    say(length ? `${length} found. Click one to keep it; Keep takes all. ${absent}`.trim() : absent);
    this.#workspace.changed();
    return length > 0;
  }

  leave() {
    this.#workspace.found.stop();
    this.#workspace.set({ found: null });
    say('Click an object, or drag a box around it.');
  }

  #enter(found, message) {
    this.#workspace.found?.stop();
    this.#workspace.clear();
    this.#workspace.set({ found, preview: null });
    say(message);
    return found;
  }

  /** Run a search that is shown, and show its time under `label`. Returns null if it failed or was left. */
  async #timed(found, label, run) {
    try {
      const [answer, ms] = await timed(run);
      if (!answer || this.#workspace.found !== found) return null;
      showTimings({ 'Everything': null, 'Words': null, 'Match': null, [label]: ms });
      return answer;
    } catch (error) {
      if (this.#workspace.found !== found) return null;
      this.leave();
      this.#fail(error);
      return null;
    }
  }
}
