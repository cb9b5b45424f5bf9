/** Drawing on the stage. Sizes are in CSS pixels, whatever the magnification. */

const ON = '#12a150';
const OFF = '#d92d20';
const ACCENT = '#2f8bff';

/** Draw the photograph. */
export function drawPhotograph(context, view, { bitmap, width, height }) {
  prepare(context);
  context.imageSmoothingEnabled = view.scale < 3;
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, view.x, view.y, width * view.scale, height * view.scale);
}

/** Draw masks, prompts and the cursor of a workspace. */
export function drawOverlay(context, view, workspace) {
  prepare(context);
  const { objects, mask, formerMask, preview, found, prompt, dragged, cursor } = workspace;
  found?.masks.forEach((each) => {
    const lit = each === found.hovered;
    drawMask(context, view, each.path, { colour: each.colour, fill: lit ? 0.7 : 0.42, line: lit ? 2.5 : 1 });
  });
  for (const object of objects) {
    if (object.shown) drawMask(context, view, object.mask.path, { colour: object.colour, fill: 0.4, line: 2 });
  }
  if (preview) drawMask(context, view, preview.path, { colour: ACCENT, fill: 0.28, line: 1.5, dash: [5, 4] });
  if (formerMask) drawMask(context, view, formerMask.path, { colour: ACCENT, fill: 0.15, line: 1 });
  if (mask) drawMask(context, view, mask.path, { colour: ACCENT, fill: 0.42, line: 2.5, halo: true });
  const box = dragged ?? prompt.box;
  if (box) drawBox(context, view, box);
  prompt.points.forEach((point) => drawPoint(context, view, point));
  found?.masks.forEach((each) => each.name && drawName(context, view, each));
  if (cursor) drawCursor(context, view, cursor);
}

function prepare(context) {
  const { canvas } = context;
  const pixels = devicePixelRatio;
  context.setTransform(pixels, 0, 0, pixels, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
}

function drawMask(context, view, path, { colour, fill, line, halo = false, dash = [] }) {
  context.save();
  context.translate(view.x, view.y);
  context.scale(view.scale, view.scale);
  context.fillStyle = colour;
  context.globalAlpha = fill;
  context.fill(path, 'evenodd');
  context.globalAlpha = 1;
  context.lineJoin = 'round';
  if (halo) stroke(context, view, path, '#ffffffd0', line + 2.5);
  context.setLineDash(dash.map((length) => length / view.scale));
  stroke(context, view, path, colour, line);
  context.restore();
}

function stroke(context, view, path, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width / view.scale;
  context.stroke(path);
}

function place(view, x, y) {
  return [view.x + x * view.scale, view.y + y * view.scale];
}

function drawBox(context, view, [x0, y0, x1, y1]) {
  const [left, top] = place(view, x0, y0);
  const [right, bottom] = place(view, x1, y1);
  context.save();
  context.lineJoin = 'round';
  for (const [colour, width, dash] of [['#ffffffd0', 4, []], [ACCENT, 2, [7, 5]]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.strokeRect(left, top, right - left, bottom - top);
  }
  context.restore();
}

/** A point says by colour and by sign whether it is on the object. */
function drawPoint(context, view, { x, y, label }) {
  const [left, top] = place(view, x, y);
  context.save();
  context.beginPath();
  context.arc(left, top, 8, 0, 2 * Math.PI);
  context.fillStyle = label ? ON : OFF;
  context.strokeStyle = '#fff';
  context.lineWidth = 2;
  context.shadowColor = 'rgb(0 0 0 / 45%)';
  context.shadowBlur = 5;
  context.fill();
  context.shadowBlur = 0;
  context.stroke();
  context.beginPath();
  context.moveTo(left - 4, top);
  context.lineTo(left + 4, top);
  if (label) {
    context.moveTo(left, top - 4);
    context.lineTo(left, top + 4);
  }
  context.lineCap = 'round';
  context.stroke();
  context.restore();
}

/** The words of a mask and how well they fit, at the top of its box. */
function drawName(context, view, { name, match, box, colour }) {
  const text = `${name} ${match.toFixed(2)}`;
  context.save();
  context.font = '600 13px system-ui, sans-serif';
  context.textBaseline = 'middle';
  const width = context.measureText(text).width + 14;
  const [left, top] = place(view, box[0], box[1]);
  const x = Math.max(2, Math.min(left, context.canvas.width / devicePixelRatio - width - 2));
  const y = Math.max(2, top - 24);
  context.beginPath();
  context.roundRect(x, y, width, 22, 6);
  context.fillStyle = '#1b1e21e6';
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.fill();
  context.stroke();
  context.fillStyle = '#fff';
  context.fillText(text, x + 7, y + 11.5);
  context.restore();
}

function drawCursor(context, view, [x, y]) {
  const [left, top] = place(view, x, y);
  context.save();
  for (const [colour, width] of [['#000a', 4], ['#fff', 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(left + 4 * dx, top + 4 * dy);
      context.lineTo(left + 15 * dx, top + 15 * dy);
    }
    context.stroke();
  }
  context.restore();
}
