/** Decoding in this browser: the server sends the embedding once, and answers no clicks. */

import { askEmbedding, askGraph, sendImage } from '../api.js';
import { LogitMask } from '../masks/mask.js';
import { Geometry } from '../model/geometry.js';
import { WorkerCalls } from './worker_calls.js';

export class BrowserDecoder {
  #model;
  #calls = null;
  #loaded = null; // The promise of `load`.
  #photograph = null; // The one that the worker has.
  #geometry;
  #last = Promise.resolve();

  /** `model` is the server's description of its model. */
  constructor(model) {
    this.#model = model;
    this.decode = this.decode.bind(this);
  }

  /** Whether the server has what it takes: a decoder, and the files of onnxruntime-web. */
  static offered({ decoder }) {
    return Boolean(decoder?.runtime_url && globalThis.WebAssembly);
  }

  /** Load the decoder once. Callers that come meanwhile wait for the same. */
  load() {
    this.#loaded ??= this.#load();
    return this.#loaded;
  }

  /** Give up the worker. `load` starts another. */
  end() {
    this.#calls?.end();
    this.#calls = null;
    this.#loaded = null;
    this.#photograph = null;
  }

  async #load() {
    const calls = new WorkerCalls(new URL('worker.js', import.meta.url));
    const runtime = new URL(this.#model.decoder.runtime_url.replace(/^\//, ''), document.baseURI).href;
    try {
      const { decoder } = this.#model;
      const graphs = { decoder: await askGraph(decoder) };
      if (decoder.upscaling) graphs.upscaling = await askGraph(decoder.upscaling);
      await calls.call('load', { runtime, graphs, padBoxes: this.#model.pad_boxes }, Object.values(graphs));
    } catch (error) {
      calls.end();
      throw error;
    }
    this.#calls = calls;
  }

  /** As `decodeOnServer`. One call follows the other, since a new photograph replaces the one before. */
  decode(photograph, prompt, { multimask = true } = {}) {
    const answer = this.#last.then(() => this.#decode(photograph, prompt, multimask));
    this.#last = answer.catch(() => {});
    return answer;
  }

  async #decode(photograph, prompt, multimask) {
    if (this.#photograph !== photograph) await this.#send(photograph);
    const { masks, preferred, timings } = await this.#calls.call('decode', { prompt });
    const all = masks.map(({ logits, score }) => new LogitMask(logits, this.#geometry, score));
    return multimask ? { masks: all, preferred, timings } : { masks: [all[preferred]], preferred: 0, timings };
  }

  async #send(photograph) {
    let response;
    try {
      response = await askEmbedding(photograph.id);
    } catch (error) {
      if (error.status !== 404) throw error;
      photograph.id = (await sendImage(photograph.file)).id; // The server has forgotten it.
      response = await askEmbedding(photograph.id);
    }
    const embedding = await response.arrayBuffer();
    const { geometry } = await this.#calls.call('image', { embedding }, [embedding]);
    this.#geometry = new Geometry(geometry);
    this.#photograph = photograph;
  }
}
