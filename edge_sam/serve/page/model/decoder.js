/** The mask decoder of a bundle in onnxruntime-web. docs/bundle.md lists its inputs and outputs. */

import { preferred } from './preference.js';

const NOT_A_POINT = -1;
const TOP_LEFT = 2;
const BOTTOM_RIGHT = 3;
const AMBIGUOUS = [1, 2, 3]; // The masks for a prompt that may mean several things; 0 is for one that does not.

export class Decoder {
  #ort;
  #sessions;
  #padBoxes;

  /**
   * `ort` is the module of onnxruntime-web. `sessions` are its InferenceSessions: `decoder`, and `upscaling` if the
   * decoder has two parts.
   */
  constructor(ort, sessions, { padBoxes = false } = {}) {
    this.#ort = ort;
    this.#sessions = sessions;
    this.#padBoxes = padBoxes;
  }

  /**
   * Answer a prompt.
   *
   * `image` is `{geometry, inputs}`: the decoder's inputs about the photograph, `{name: {type, data, dims}}`. `prompt`
   * is `{points: [{x, y, label}], box}` in pixels of the photograph. Returns `{masks, preferred}`: three
   * `{logits, score}` with the best predicted IoU first, and the index of the one to show.
   */
  async decode(image, prompt) {
    const { scores, logits: { data, rows, columns } } = await this.run(image, prompt);
    const plane = (i) => data.slice(i * rows * columns, (i + 1) * rows * columns);
    const masks = AMBIGUOUS.map((i) => ({ logits: { data: plane(i), rows, columns }, score: scores[i] }));
    masks.sort((a, b) => b.score - a.score);
    const covered = masks.map(({ logits, score }) => ({ score, cells: image.geometry.cells(logits) }));
    return { masks, preferred: preferred(covered, prompt.box !== null) };
  }

  /** The decoder's outputs for a prompt: `{scores, logits: {data, rows, columns}}`, four masks one after the other. */
  async run({ geometry, inputs }, prompt) {
    const { Tensor } = this.#ort;
    const given = Object.entries({ ...inputs, ...promptInputs(prompt, geometry, this.#padBoxes) });
    const feeds = Object.fromEntries(
      given.map(([name, { type, data, dims }]) => [name, new Tensor(type, data, dims)]),
    );
    const { decoder, upscaling } = this.#sessions;
    const { predicted_iou: predicted, ...first } = await decoder.run(feeds);
    const { low_res_logits: logits } = upscaling
      ? await upscaling.run({ ...first, token_size: feeds.token_size })
      : first;
    const [, , rows, columns] = logits.dims;
    return { scores: await predicted.getData(), logits: { data: await logits.getData(), rows, columns } };
  }
}

/** The decoder's points: XY in the frame, and a label for each. Points without a box are followed by "not a point". */
function promptInputs({ points, box }, geometry, padBoxes) {
  const coords = points.map(({ x, y }) => geometry.toFrame([x, y]));
  const labels = points.map(({ label }) => label);
  if (box) {
    coords.push(geometry.toFrame(box.slice(0, 2)), geometry.toFrame(box.slice(2)));
    labels.push(TOP_LEFT, BOTTOM_RIGHT);
  }
  if (!box || padBoxes) {
    coords.push([0, 0]);
    labels.push(NOT_A_POINT);
  }
  return {
    point_coords: { type: 'float32', data: Float32Array.from(coords.flat()), dims: [1, labels.length, 2] },
    point_labels: { type: 'int64', data: BigInt64Array.from(labels, BigInt), dims: [1, labels.length] },
  };
}
