// Segment an object without Python.
//
//   edge-sam convert mobile-sam --layout sam --output sam
//   npm install onnxruntime-node
//   node segment.js sam/mobile-sam.encoder.onnx sam/mobile-sam.decoder.onnx photograph.ppm X0 Y0 X1 Y1 mask.pgm
//
// The photograph is a PPM file whose longer side is 1024. The box is in its pixels.
const fs = require('node:fs');
const { InferenceSession, Tensor } = require('onnxruntime-node');

function readPpm(file) {
  const bytes = fs.readFileSync(file);
  const header = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 64));
  if (!header) throw new Error(`${file} is not a PPM file of 8 bits`);
  const [width, height] = [Number(header[1]), Number(header[2])];
  const pixels = bytes.subarray(header[0].length);
  if (Math.max(width, height) !== 1024) throw new Error("the photograph's longer side must be 1024 pixels");
  if (pixels.length !== 3 * width * height) throw new Error(`${file} is cut short`);
  return { width, height, pixels };
}

async function main(encoderFile, decoderFile, photograph, ...rest) {
  const box = rest.slice(0, 4).map(Number);
  const { width, height, pixels } = readPpm(photograph);
  const encoder = await InferenceSession.create(encoderFile);
  const decoder = await InferenceSession.create(decoderFile);

  // Encode once for each photograph.
  const image = new Tensor('float32', Float32Array.from(pixels), [height, width, 3]);
  const { image_embeddings } = await encoder.run({ input_image: image });

  // Ask as often as you like: 1 on the object, 0 off it, 2 and 3 for the corners of a box, -1 once without a box.
  const { masks, iou_predictions } = await decoder.run({
    image_embeddings,
    point_coords: new Tensor('float32', Float32Array.from(box), [1, 2, 2]),
    point_labels: new Tensor('float32', Float32Array.of(2, 3), [1, 2]),
    mask_input: new Tensor('float32', new Float32Array(256 * 256), [1, 1, 256, 256]),
    has_mask_input: new Tensor('float32', Float32Array.of(0), [1]),
    orig_im_size: new Tensor('float32', Float32Array.of(height, width), [2]),
  });
  const mask = Uint8Array.from(masks.data, (logit) => (logit > 0 ? 255 : 0));
  fs.writeFileSync(rest[4], Buffer.concat([Buffer.from(`P5\n${width} ${height}\n255\n`), mask]));
  console.log(`predicted IoU ${iou_predictions.data[0].toFixed(3)}`);
}

if (process.argv.length !== 10) {
  console.error('usage: node segment.js ENCODER DECODER PHOTOGRAPH.ppm X0 Y0 X1 Y1 MASK.pgm');
  process.exitCode = 2;
} else {
  main(...process.argv.slice(2)).catch((error) => {
    console.error(`segment: ${error.message}`);
    process.exitCode = 1;
  });
}
