/** What can be taken away: a mask, a cut-out, COCO JSON, an SVG. `things` are `{mask, name, colour}`. */

import { corners, pathData, traceEdges } from '../masks/outline.js';

/** A PNG of the photograph's size, white inside the masks and black outside. */
export async function maskPng(things, { width, height }) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer).fill(0xff000000);
  for (const { mask } of things) {
    mask.bitmap().data.forEach((inside, i) => {
      if (inside) pixels[i] = 0xffffffff;
    });
  }
  return toPng(image);
}

/** A PNG of the photograph, transparent outside the masks, cropped to them. */
export async function cutOutPng(things, { bitmap, width, height }) {
  const { mask } = things[0];
  const box = things.map((thing) => thing.mask.box).reduce(
    ([a, b, c, d], [x0, y0, x1, y1]) => [Math.min(a, x0), Math.min(b, y0), Math.max(c, x1), Math.max(d, y1)],
    mask.box,
  );
  const [left, top] = box;
  const size = { width: Math.max(1, box[2] - left), height: Math.max(1, box[3] - top) };
  const context = new OffscreenCanvas(size.width, size.height).getContext('2d');
  context.drawImage(bitmap, -left, -top, width, height);
  const image = context.getImageData(0, 0, size.width, size.height);
  const bitmaps = things.map((thing) => thing.mask.bitmap().data);
  for (let y = 0, i = 3; y < size.height; y += 1) {
    for (let x = 0; x < size.width; x += 1, i += 4) {
      const at = (top + y) * width + left + x;
      if (!bitmaps.some((data) => data[at])) image.data[i] = 0;
    }
  }
  return toPng(image);
}

async function toPng(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: 'image/png' });
}

/** COCO JSON with one annotation for each thing, and a category for each name. */
export function cocoJson(things, { file, width, height }) {
  const names = [...new Set(things.map(({ name }) => name))];
  const coco = {
    images: [{ id: 1, file_name: file.name || 'photograph', width, height }],
    categories: names.map((name, i) => ({ id: i + 1, name })),
    annotations: things.map(({ mask, name }, i) => {
      const [x0, y0, x1, y1] = mask.box;
      return {
        id: i + 1,
        image_id: 1,
        category_id: names.indexOf(name) + 1,
        segmentation: mask.rle(),
        area: mask.area,
        bbox: [x0, y0, x1 - x0, y1 - y0],
        iscrowd: 0,
        score: mask.score,
      };
    }),
  };
  return new Blob([JSON.stringify(coco, null, 1)], { type: 'application/json' });
}

/** An SVG of the photograph's size with the exact outline of each thing, holes left open. */
export function outlineSvg(things, { width, height }) {
  const root = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  root.setAttribute('viewBox', `0 0 ${width} ${height}`);
  for (const { mask, name, colour } of things) {
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    const title = document.createElementNS('http://www.w3.org/2000/svg', 'title');
    title.textContent = name;
    path.append(title);
    path.setAttribute('fill', colour);
    path.setAttribute('fill-rule', 'evenodd');
    path.setAttribute('d', pathData(traceEdges(mask.bitmap()).map(corners)));
    root.append(path);
  }
  return new Blob([new XMLSerializer().serializeToString(root)], { type: 'image/svg+xml' });
}

/** Let the browser save a blob as a file beside the photograph's name. */
export function download(blob, photograph, ending) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${(photograph.file.name || 'photograph').replace(/\.[^.]*$/, '')}${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
