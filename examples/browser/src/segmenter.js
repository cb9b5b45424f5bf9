/** The model: in WebAssembly with as many threads as it may use, or with WebGPU if that is wanted and there. */

import { LogitMask } from '@edge-sam/masks/mask.js';
import { Geometry } from '@edge-sam/model/geometry.js';
import { WorkerCalls } from '@edge-sam/decoding/worker_calls.js';

const MOST_THREADS = 4;

export class Segmenter {
  #calls;
  #geometry;

  /** `facts` say what runs: `{model, device, threads, ms}`. */
  constructor(calls, facts) {
    this.#calls = calls;
    this.facts = facts;
  }

  /**
   * Load the bundle at `base`. A device that fails is replaced by the next, in a fresh worker: what the first left
   * behind must not harm the second.
   *
   * `wanted` is a device, by default `wasm`: WebGPU has not been checked. `threads` limits them. `progress(fraction)` is
   * about the download.
   */
  static async load(base, { wanted, threads, progress }) {
    const devices = [...(wanted === 'webgpu' && (await hasWebGpu()) ? ['webgpu'] : []), 'wasm'];
    const most = globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
    const setting = { threads: Math.min(threads ?? most, most), base };
    for (const device of devices) {
      const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
      const calls = new WorkerCalls(worker, (message) => progress(message.progress));
      try {
        const loaded = await calls.call('load', { device, ...setting });
        return new Segmenter(calls, { ...loaded, device, threads: setting.threads });
      } catch (error) {
        calls.end();
        if (device === devices.at(-1)) throw error;
        console.warn(`${device} failed: ${error.message}`);
      }
    }
  }

  /** Encode an ImageBitmap, which is moved away. Returns the times in milliseconds. */
  async encode(bitmap) {
    const start = performance.now();
    const { geometry, timings } = await this.#calls.call('encode', { bitmap }, [bitmap]);
    performance.measure('encode', { start, detail: timings });
    this.#geometry = new Geometry(geometry);
    return timings;
  }

  /** Answer `{points: [{x, y, label}], box}`: `{masks, preferred, ms}`, the best predicted IoU first. */
  async decode(prompt) {
    const start = performance.now();
    const { masks, ...rest } = await this.#calls.call('decode', { prompt });
    performance.measure('decode', { start, detail: { decode: rest.ms } });
    return { ...rest, masks: masks.map(({ logits, score }) => new LogitMask(logits, this.#geometry, score)) };
  }
}

async function hasWebGpu() {
  return Boolean(await navigator.gpu?.requestAdapter().catch(() => null));
}
