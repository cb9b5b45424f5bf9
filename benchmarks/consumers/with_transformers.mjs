// Masks of transformers.js: node with_transformers.mjs LAYOUT FOLDER _ CASES OUTPUT, run where it is installed.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [layout, folder, , cases, output] = process.argv.slice(2);
const entry = createRequire(path.join(process.cwd(), 'none.js')).resolve('@huggingface/transformers');
const { AutoProcessor, RawImage, Sam2Model, SamModel, env } = await import(entry);
env.allowRemoteModels = false;
env.localModelPath = path.dirname(path.resolve(folder));
const name = path.basename(folder);
const model = await (layout === 'sam' ? SamModel : Sam2Model).from_pretrained(name);
const processor = await AutoProcessor.from_pretrained(name);
for (const [i, { image, points, labels, box }] of JSON.parse(readFileSync(cases)).entries()) {
  const prompts = {};
  // SamModel takes the corners of a box as points; Sam2Model takes boxes.
  const corners = box && layout === 'sam' ? [[box[0], box[1]], [box[2], box[3]]] : [];
  if (points.length + corners.length) {
    prompts.input_points = [[[...points, ...corners]]];
    prompts.input_labels = [[[...labels, ...corners.map((_, corner) => 2 + corner)]]];
  }
  if (box && !corners.length) prompts.input_boxes = [[box]];
  const inputs = await processor(await RawImage.read(image), prompts);
  const outputs = await model(inputs);
  const masks = await processor.post_process_masks(
    outputs.pred_masks, inputs.original_sizes, inputs.reshaped_input_sizes,
  );
  const [, , height, width] = masks[0].dims;
  writeFileSync(`${output}/${i}.raw`, masks[0].data.slice(0, 3 * height * width));
}
