/** The model: with WebGPU where a GPU computes the right results, else in WebAssembly with the threads it may use. */

import { LogitMask } from '@edge-sam/masks/mask.js';
import { Geometry } from '@edge-sam/model/geometry.js';
import { WorkerCalls } from '@edge-sam/decoding/worker_calls.js';

const MOST_THREADS = 4;
const PATIENCE = 30_000; // Milliseconds for a GPU to start and pass the check, after the download of the model.

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
   * `wanted` is a device: `wasm`, or `webgpu` even if a processor emulates it, however long that takes. Default: WebGPU
   * on a GPU that starts and passes the check in time, else `wasm`. `threads` limits them. `progress(fraction)` is about
   * the download.
   */
  static async load(base, { wanted, threads, progress }) {
    const devices = [...((await usesWebGpu(wanted)) ? ['webgpu'] : []), 'wasm'];
    const most = globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
    const setting = { threads: Math.min(threads ?? most, most), base };
    for (const device of devices) {
      const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
      const calls = new WorkerCalls(worker, (message) => progress(message.progress));
      try {
        await calls.call('load', { device, ...setting });
        const isPatient = device === wanted || device === 'wasm';
        const { started, differences, ms } = await inTime(startAndCheck(calls), isPatient ? null : PATIENCE);
        performance.measure('check', { start: performance.now() - ms, duration: ms, detail: differences });
        return new Segmenter(calls, { ...started, ms: started.ms + ms, device, threads: setting.threads });
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

async function startAndCheck(calls) {
  const started = await calls.call('start');
  return { started, ...(await calls.call('check')) };
}

/** Whether to try WebGPU: there is an adapter, and a GPU behind it unless WebGPU is wanted in any case. */
async function usesWebGpu(wanted) {
  if (wanted === 'wasm') return false;
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && (wanted === 'webgpu' || !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter)));
}

/** The result of a promise; an error if it takes longer than so many milliseconds. */
function inTime(promise, ms) {
  if (ms === null) return promise;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`start and check take more than ${ms / 1000} seconds`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
