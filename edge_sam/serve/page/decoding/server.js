/** Decoding on the server. */

import { askMasks, sendImage } from '../api.js';
import { RleMask } from '../masks/mask.js';
import { pause } from '../timing.js';

const TRIES = 3;

/** The prompt as the API takes it. */
function toJson({ points, box }) {
  return {
    ...(points.length ? { points: points.map(({ x, y }) => [x, y]), labels: points.map(({ label }) => label) } : {}),
    ...(box ? { box } : {}),
  };
}

/** Ask for the masks of a prompt: `{masks, preferred, timings}`, best mask first, `preferred` the index to show. */
export async function decodeOnServer(photograph, prompt, { multimask = true, patient = true } = {}) {
  const ask = (id) => askMasks(id, toJson(prompt), { multimask });
  const { masks, preferred, timings } = await patiently(photograph, ask, { patient });
  return { masks: masks.map((mask) => new RleMask(mask)), preferred: rank(preferred, prompt), timings };
}

/**
 * Call `ask(id)` with the photograph's id, and return its answer.
 *
 * A server forgets photographs that were not used for long. Such a photograph is sent again. A busy server says when to
 * try again; `patient` waits for that. `signal` stops sending.
 */
export async function patiently(photograph, ask, { patient = true, signal } = {}) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask(photograph.id);
    } catch (error) {
      if (tries === TRIES || !patient) throw error;
      if (error.status === 404) photograph.id = (await sendImage(photograph.file, signal)).id;
      else if (error.status === 429) await pause(1000 * (error.retryAfter ?? 1));
      else throw error;
    }
  }
}

const rank = (preferred, { box }) => preferred?.[box ? 'best' : 'object'] ?? 0;
