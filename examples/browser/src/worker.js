/**
 * The model in a worker, so that the page stays smooth. Messages: `load`, `start`, `check`, `encode` and `decode`;
 * one answer to each.
 */

import { Decoder } from '@edge-sam/model/decoder.js';

import { openBundle } from './bundle.js';
import { Encoder, whyUnusable } from './encoder.js';
import { checkProbe, runProbe } from './guard.js';
import { readNpz } from './npz.js';

let loaded; // What `start` needs: {ort, bundle, device}.
let encoder;
let decoder;
let probe; // {precision, stored}
let image;

/** One build of onnxruntime-web for each device, so that only the one in use is downloaded. */
const builds = {
  async wasm() {
    const [ort, mjs, wasm] = await Promise.all([
      import('onnxruntime-web/wasm'),
      import('onnxruntime-web/ort-wasm-simd-threaded.mjs?url'),
      import('onnxruntime-web/ort-wasm-simd-threaded.wasm?url'),
    ]);
    return { ort, mjs, wasm };
  },
  async webgpu() {
    const [ort, mjs, wasm] = await Promise.all([
      import('onnxruntime-web/webgpu'),
      import('onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url'),
      import('onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url'),
    ]);
    return { ort, mjs, wasm };
  },
};

const handlers = {
  async load({ device, threads, base }) {
    const [{ ort, mjs, wasm }, bundle] = await Promise.all([
      builds[device](),
      openBundle(base, (bytes, total) => self.postMessage({ progress: bytes / total })),
    ]);
    const reason = whyUnusable(bundle.manifest);
    if (reason) throw new Error(reason);
    const address = ({ default: path }) => new URL(path, self.location.href).href;
    ort.env.wasm.wasmPaths = { mjs: address(mjs), wasm: address(wasm) };
    ort.env.wasm.numThreads = threads;
    loaded = { ort, bundle, device };
  },

  async start() {
    const { ort, bundle, device } = loaded;
    loaded = null; // The sessions have copies of the graphs.
    const start = performance.now();
    const options = { executionProviders: [device] };
    const encoding = await ort.InferenceSession.create(bundle.encoder, options); // WebGPU makes one at a time.
    const sessions = { decoder: await ort.InferenceSession.create(bundle.decoder, options) };
    if (bundle.upscaling) sessions.upscaling = await ort.InferenceSession.create(bundle.upscaling, options);
    encoder = new Encoder(ort, encoding, bundle.manifest, readNpz(bundle.constants));
    decoder = new Decoder(ort, sessions);
    probe = { precision: bundle.precision, stored: readNpz(bundle.probe) };
    return { model: bundle.manifest.name, ms: performance.now() - start };
  },

  async check() {
    const start = performance.now();
    const { precision, stored } = probe;
    const differences = checkProbe(await runProbe(encoder, decoder, stored), stored, precision);
    return { differences, ms: performance.now() - start };
  },

  async encode({ bitmap }) {
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d', { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const { timings, ...encoded } = await encoder.encode(context.getImageData(0, 0, bitmap.width, bitmap.height));
    image = encoded;
    return { geometry: { ...image.geometry }, timings };
  },

  async decode({ prompt }) {
    const start = performance.now();
    const answer = await decoder.decode(image, prompt);
    return { ...answer, ms: performance.now() - start };
  },
};

self.onmessage = async ({ data: { id, kind, ...message } }) => {
  try {
    self.postMessage({ id, answer: await handlers[kind](message) });
  } catch (error) {
    self.postMessage({ id, failure: String(error?.message ?? error) });
  }
};
