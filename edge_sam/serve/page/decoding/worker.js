/** Decoding in a worker, so that the page stays smooth. Messages: `load`, `image` and `decode`; one answer to each. */

import { Decoder } from '../model/decoder.js';
import { Geometry } from '../model/geometry.js';
import { readTensors } from '../model/tensors.js';

let decoder;
let image;

const handlers = {
  async load({ runtime, graphs, padBoxes }) {
    const ort = await import(`${runtime}ort.wasm.min.mjs`);
    ort.env.wasm.wasmPaths = runtime;
    ort.env.wasm.numThreads = 1; // docs/lab/browser.md: more make clicks slower on a busy machine.
    const sessions = {};
    for (const [part, graph] of Object.entries(graphs)) sessions[part] = await ort.InferenceSession.create(graph);
    decoder = new Decoder(ort, sessions, { padBoxes });
  },

  async image({ embedding }) {
    const { tensors, facts } = readTensors(embedding);
    const [[height, width], [scaledHeight, scaledWidth]] = [facts.image_size, facts.scaled_size].map(JSON.parse);
    image = { inputs: tensors, geometry: new Geometry({ width, height, scaledWidth, scaledHeight }) };
    return { geometry: { ...image.geometry } };
  },

  async decode({ prompt }) {
    const start = performance.now();
    const answer = await decoder.decode(image, prompt);
    return { ...answer, timings: { decode: performance.now() - start } };
  },
};

self.onmessage = async ({ data: { id, kind, ...message } }) => {
  try {
    self.postMessage({ id, answer: await handlers[kind](message) });
  } catch (error) {
    self.postMessage({ id, failure: String(error?.message ?? error) });
  }
};
