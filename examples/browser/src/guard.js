/**
 * The guard against silent failure: check that a device computes the right results.
 *
 * It is that of `edge_sam/inference/guard.py`: two small images run through encoder and decoder. The outputs must be
 * finite, differ between the images, and agree with the reference outputs in the bundle.
 */

const TOKEN = 16; // Pixels along one side of an image token.
const CLICK = { points: [{ x: 120, y: 80, label: 1 }], box: null };
const BOUNDS = { fp32: 1e-3, w16: 1e-3, fp16: 5e-2, int8: 3e-1 }; // As in `edge_sam/bundles/precisions.py`.

/** Two inputs of the encoder, a disc and stripes: planes of `rows` × `columns` tokens. */
export function probeImages(rows, columns) {
  const disc = (x, y) => ((x - 120) ** 2 + (y - 80) ** 2 < 50 ** 2 ? 1.5 : -1);
  const stripes = (x, y) => (Math.floor(x / 24) % 2 === 0 ? 2 : -0.5) + Math.fround(y / 200);
  return [disc, stripes].map((picture) => {
    const [height, width] = [rows * TOKEN, columns * TOKEN];
    const plane = height * width;
    const data = new Float32Array(3 * plane);
    for (let y = 0, i = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, i += 1) {
        const value = Math.fround(picture(x, y));
        data[i] = value;
        data[i + plane] = 1 - value;
        data[i + 2 * plane] = value * (x / 256);
      }
    }
    return data;
  });
}

/**
 * Run both images. Returns `{image_embedding, predicted_iou, low_res_logits}`, each with the values of both images,
 * where `stored`, the reference outputs, have some.
 */
export async function runProbe(encoder, decoder, stored) {
  const { shape: [, rows, columns] } = stored.image_embedding;
  const outputs = [];
  for (const data of probeImages(rows, columns)) {
    const { embedding, image } = await encoder.run(data, { rows, columns });
    const { scores, logits } = await decoder.run(image, CLICK);
    outputs.push({ image_embedding: embedding, predicted_iou: scores, low_res_logits: covered(logits, stored) });
  }
  const [first, second] = outputs;
  return Object.fromEntries(Object.keys(first).map((name) => [name, [first[name], second[name]]]));
}

/** The part of the logits that the probe images cover, as the reference has it. */
function covered({ data, rows, columns }, { low_res_logits: { shape: [, masks, height, width] } }) {
  const part = new Float32Array(masks * height * width);
  for (let mask = 0, to = 0; mask < masks; mask += 1) {
    for (let y = 0; y < height; y += 1, to += width) {
      const from = (mask * rows + y) * columns;
      part.set(data.subarray(from, from + width), to);
    }
  }
  return part;
}

/** Throw an error if what a device computed is not what `stored` has. Returns the relative difference of each output. */
export function checkProbe(computed, stored, precision) {
  const bound = BOUNDS[precision] ?? BOUNDS.fp32;
  const differences = {};
  for (const [name, { data }] of Object.entries(stored)) {
    const [first, second] = computed[name];
    const count = data.length / 2;
    const [reference, other] = [data.subarray(0, count), data.subarray(count)];
    if (first.length !== count || second.length !== count) throw new Error(`${name} of the probe has another size`);
    if (![first, second].every((values) => values.every(Number.isFinite))) {
      throw new Error(`${name} of the probe is not finite`);
    }
    if (difference([[first, second]]) < difference([[reference, other]]) / 2) {
      throw new Error(`${name} hardly differs between two different images`);
    }
    differences[name] = difference([[first, reference], [second, other]]);
    if (differences[name] > bound) {
      throw new Error(
        `${name} differs by ${differences[name].toPrecision(2)} from the reference (allowed for ${precision}: ${bound})`,
      );
    }
  }
  return differences;
}

/** The relative difference of pairs of arrays, ours and the reference, in Euclidean norm. */
function difference(pairs) {
  let [distance, norm] = [0, 0];
  for (const [ours, reference] of pairs) {
    for (let i = 0; i < reference.length; i += 1) {
      distance += (ours[i] - reference[i]) ** 2;
      norm += reference[i] ** 2;
    }
  }
  return Math.sqrt(distance / norm);
}
