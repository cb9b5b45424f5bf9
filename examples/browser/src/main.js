/** A page that segments photographs without a server: the address may end in ?device=webgpu or ?threads=1. */

import { latestOnly } from '@edge-sam/decoding/latest.js';
import { maskPng } from '@edge-sam/panel/files.js';
import { listenToPointer } from '@edge-sam/stage/pointer.js';

import { Segmenter } from './segmenter.js';

const element = (id) => document.getElementById(id);
const [file, masks, save, photograph, overlay] = ['file', 'masks', 'save', 'photograph', 'overlay'].map(element);
const say = (text) => { element('status').textContent = text; };
const failed = (error) => say(`Failed: ${error.message}`);
const seconds = (ms) => (ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`);

const NOTHING = { points: [], box: null };
let segmenter;
let ready = false; // Whether the photograph is encoded.
let prompt = NOTHING;
let shown = null; // {masks, selected}

async function start() {
  const asked = new URLSearchParams(location.search);
  say('Loading the model…');
  segmenter = await Segmenter.load(new URL('./', location.href).href, {
    wanted: asked.get('device') ?? undefined,
    threads: asked.has('threads') ? Number(asked.get('threads')) : undefined,
    progress: (fraction) => {
      element('progress').value = fraction;
      if (fraction === 1) say('Starting and checking the model…');
    },
  });
  const { model, device, threads, ms } = segmenter.facts;
  element('progress').hidden = true;
  file.disabled = false;
  const where = device === 'wasm' ? `WebAssembly, threads: ${threads}` : 'WebGPU';
  say(`${model} runs with ${where}; started in ${seconds(ms)}. Open a photograph.`);
}

const open = latestOnly((chosen) => encode(chosen).catch(failed));
const ask = latestOnly(() => decode().catch(failed));

async function encode(chosen) {
  ready = false;
  clear();
  const bitmap = await createImageBitmap(chosen);
  for (const canvas of [photograph, overlay]) Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  photograph.getContext('2d').drawImage(bitmap, 0, 0);
  say('Encoding…');
  const { prepare, encode } = await segmenter.encode(bitmap);
  ready = true;
  say(`Encoded in ${seconds(prepare + encode)}. Click an object, or drag a box around it.`);
}

async function decode() {
  const asked = prompt;
  const answer = await segmenter.decode(asked);
  if (asked !== prompt) return;
  shown = { masks: answer.masks, selected: answer.preferred };
  draw();
  say(`Predicted IoU ${shown.masks[shown.selected].score.toFixed(3)}, decoded in ${seconds(answer.ms)}.`);
}

function clear() {
  prompt = NOTHING;
  shown = null;
  draw();
}

/** Show the masks, the prompt and, while it is dragged, a box. */
function draw(dragged = prompt.box) {
  const context = overlay.getContext('2d');
  const unit = overlay.clientWidth ? overlay.width / overlay.clientWidth : 1; // Pixels of the photograph on the screen.
  context.clearRect(0, 0, overlay.width, overlay.height);
  context.lineWidth = 2 * unit;
  context.strokeStyle = '#2f8bff';
  context.fillStyle = '#2f8bff80';
  if (shown) {
    const { path } = shown.masks[shown.selected];
    context.fill(path, 'evenodd');
    context.stroke(path);
  }
  if (dragged) context.strokeRect(dragged[0], dragged[1], dragged[2] - dragged[0], dragged[3] - dragged[1]);
  for (const { x, y, label } of prompt.points) {
    context.beginPath();
    context.arc(x, y, 6 * unit, 0, 2 * Math.PI);
    context.fillStyle = label ? '#12a150' : '#d92d20';
    context.fill();
  }
  save.disabled = !shown;
  masks.replaceChildren(...(shown?.masks ?? []).map((mask, i) => {
    const button = document.createElement('button');
    button.textContent = `${i + 1}: ${mask.score.toFixed(2)}`;
    button.setAttribute('aria-pressed', String(i === shown.selected));
    button.addEventListener('click', () => {
      shown.selected = i;
      draw();
    });
    return button;
  }));
}

/** Convert a place on the overlay to pixels of the photograph. */
function toPhotograph([x, y]) {
  const scale = overlay.width / overlay.clientWidth;
  return [Math.min(overlay.width - 1, Math.max(0, x * scale)), Math.min(overlay.height - 1, Math.max(0, y * scale))];
}

function toBox(from, to) {
  const [[ax, ay], [bx, by]] = [toPhotograph(from), toPhotograph(to)];
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

listenToPointer(overlay, {
  point(place, off) {
    if (!ready) return;
    const [x, y] = toPhotograph(place);
    prompt = { ...prompt, points: [...prompt.points, { x, y, label: off ? 0 : 1 }] };
    draw();
    ask();
  },
  dragging: (from, to) => draw(from ? toBox(from, to) : undefined),
  box(from, to) {
    const box = toBox(from, to);
    if (!ready || box[0] === box[2] || box[1] === box[3]) return;
    prompt = { points: [], box };
    draw();
    ask();
  },
  hover() {},
  zoom() {},
  pan() {},
});
file.addEventListener('change', () => file.files.length && open(file.files[0]));
document.addEventListener('keydown', ({ key }) => key === 'Escape' && clear());
save.addEventListener('click', async () => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await maskPng([{ mask: shown.masks[shown.selected] }], overlay));
  link.download = 'mask.png';
  link.click();
});
start().catch(failed);
