/** From a photograph to the decoder's inputs, as `edge_sam.Predictor.encode` does it for families that pad. */

import { Geometry } from '@edge-sam/model/geometry.js';

import { resize } from './resize.js';
import { tokenList } from './token_list.js';

const TOKEN = 16; // Pixels of the frame along one side of an image token.
const CHANNELS = 256;

export class Encoder {
  #ort;
  #session;
  #manifest;
  #constants;

  /** `manifest` and `constants` are the bundle's. */
  constructor(ort, session, manifest, constants) {
    this.#ort = ort;
    this.#session = session;
    this.#manifest = manifest;
    this.#constants = constants;
  }

  /** Encode an ImageData. Returns `{geometry, inputs}` for the decoder, and times in milliseconds. */
  async encode(pixels) {
    const start = performance.now();
    const geometry = fit(pixels, this.#manifest.frame);
    const [rows, columns] = [geometry.scaledHeight, geometry.scaledWidth].map((side) => Math.ceil(side / TOKEN));
    const data = this.#normalise(pixels, geometry, rows * TOKEN, columns * TOKEN);
    const prepared = performance.now();
    const { image } = await this.run(data, { rows, columns, geometry });
    return { ...image, timings: { prepare: prepared - start, encode: performance.now() - prepared } };
  }

  /**
   * Run the encoder on normalised planes of `rows` × `columns` tokens. Returns `{embedding, image}`: the values, and
   * what the decoder takes. Without a `geometry` the planes are the photograph.
   */
  async run(data, { rows, columns, geometry = whole(rows, columns) }) {
    const image = new this.#ort.Tensor('float32', data, [1, 3, rows * TOKEN, columns * TOKEN]);
    const { image_embedding: output } = await this.#session.run({ image });
    const embedding = await output.getData();
    return { embedding, image: { geometry, inputs: this.#decoderInputs(embedding, rows, columns) } };
  }

  /** Planes of red, green and blue. What the photograph does not cover is zero, the mean colour. */
  #normalise(pixels, { scaledWidth, scaledHeight }, height, width) {
    const { pixel_mean: mean, pixel_std: std } = this.#manifest;
    const scaled = resize(pixels, scaledWidth, scaledHeight);
    const data = new Float32Array(3 * height * width);
    for (let channel = 0; channel < 3; channel += 1) {
      for (let y = 0, from = channel; y < scaledHeight; y += 1) {
        const line = (channel * height + y) * width;
        for (let x = 0; x < scaledWidth; x += 1, from += 3) {
          data[line + x] = (scaled[from] - mean[channel]) / std[channel];
        }
      }
    }
    return data;
  }

  #decoderInputs(embedding, rows, columns) {
    const { padding, no_mask: noMask } = this.#constants;
    const { index, count } = tokenList(rows, columns);
    const tokens = new Float32Array(index.length * CHANNELS);
    index.forEach((place, i) => {
      const inside = i < rows * columns; // The photograph's tokens come first, in order.
      const source = inside ? embedding : padding.data;
      const from = (inside ? i : place) * CHANNELS;
      for (let k = 0; k < CHANNELS; k += 1) tokens[i * CHANNELS + k] = source[from + k] + noMask.data[k];
    });
    return {
      image_tokens: { type: 'float32', data: tokens, dims: [1, index.length, CHANNELS] },
      token_index: { type: 'int64', data: BigInt64Array.from(index, BigInt), dims: [index.length] },
      token_count: { type: 'float32', data: Float32Array.from(count), dims: [index.length] },
      token_size: { type: 'int64', data: BigInt64Array.from([rows, columns], BigInt), dims: [2] },
    };
  }
}

/** The geometry of a photograph that fills its tokens. */
function whole(rows, columns) {
  const [height, width] = [rows * TOKEN, columns * TOKEN];
  return new Geometry({ width, height, scaledWidth: width, scaledHeight: height });
}

/** Scale the longer side of a photograph to the frame. */
function fit({ width, height }, frame) {
  const scaled = (side) => Math.max(1, Math.floor((side * frame) / Math.max(width, height) + 0.5));
  return new Geometry({ width, height, scaledWidth: scaled(width), scaledHeight: scaled(height) });
}

/** Say why a bundle cannot be used here; null if it can. */
export function whyUnusable({ name, contract }) {
  const suits = contract?.weighted_tokens && contract.fit.padded && !contract.high_res.length;
  return suits ? null : `${name} is of another family: this example has MobileSAM's way of encoding`;
}
