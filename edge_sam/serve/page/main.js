/** The page: what happens when the user does something. */

import { ApiError, askModel, sendImage, useKey } from './api.js';
import { BrowserDecoder } from './decoding/browser.js';
import { latestOnly } from './decoding/latest.js';
import { decodeOnServer } from './decoding/server.js';
import { Finding } from './finding.js';
import { Candidates } from './panel/candidates.js';
import { Controls } from './panel/controls.js';
import { Downloads } from './panel/downloads.js';
import { fillHelp, hideFailure, say, showFailure, showTimings } from './panel/messages.js';
import { ObjectList } from './panel/objects.js';
import { WordField } from './panel/words.js';
import { listenToIncoming } from './stage/incoming.js';
import { keyTable, listenToKeys } from './stage/keyboard.js';
import { Stage } from './stage/stage.js';
import { timed } from './timing.js';
import { Workspace } from './workspace.js';

const workspace = new Workspace();
const downloads = new Downloads(workspace);
const candidates = new Candidates((index) => actions.select(index));
const objects = new ObjectList(workspace);
let decode = decodeOnServer;
let wantsLocal = false; // Whether the switch for this browser's decoder is on.
let local = null; // The decoder of this browser, if the server offers one.

const actions = {
  open: () => document.getElementById('file').click(),
  sign: (sign) => workspace.set({ sign }),
  undo: () => workspace.undo(),
  redo: () => workspace.redo(),
  fit: () => stage.fit(),
  help: () => document.getElementById('help').showModal(),
  copy: () => downloads.copy(),
  clear() {
    if (stage.dropBox()) return;
    if (workspace.found) finding.leave();
    else workspace.clear();
  },
  select(index) {
    if (workspace.mask && workspace.answer.masks[index]) {
      workspace.set({ answer: { ...workspace.answer, selected: index } });
      sayMask();
    }
  },
  keep() {
    const { found, mask } = workspace;
    if (found) {
      const kept = workspace.objects.map((object) => object.mask);
      const others = found.masks.filter((each) => !kept.includes(each));
      if (others.length) workspace.keep(others);
      finding.leave();
    } else if (mask) workspace.keep([mask]);
    else return;
    say(`${workspace.objects.length} kept.`);
  },
  moveCursor(direction, fraction) {
    const at = stage.moveCursor(direction, fraction);
    if (at) hover(at);
  },
  pointAtCursor(off) {
    if (workspace.cursor && workspace.photograph.id) point(workspace.cursor, off ? 0 : workspace.sign);
  },
  boxAtCursor() {
    if (workspace.found) return;
    const box = stage.boxAtCursor();
    if (box) workspace.setBox(box);
    else if (workspace.cursor) say('Move the cursor to the opposite corner and press B.');
  },
  everything: () => finding.everything(),
  type: () => words.focus(),
  decodeHere,
};

const stage = new Stage(workspace, { point, hover, box: (box) => !workspace.found && workspace.setBox(box) });
const controls = new Controls(workspace, actions);
const finding = new Finding(workspace, fail);
const words = new WordField(workspace, {
  find: async (text) => {
    hideFailure();
    if (await finding.words(text) && words.focused) stage.focus(); // So that keys work, and a screen's keyboard goes.
  },
  leave: () => stage.focus(),
  choose,
});
const keys = keyTable(actions);

/** Ask what the server runs. `given`: whether the user has given a key. */
async function start(given = false) {
  say('Starting…');
  try {
    const model = await askModel();
    controls.showModel(model);
    words.offer(model.matcher);
    local = BrowserDecoder.offered(model) ? new BrowserDecoder(model) : null;
    controls.offerLocal(local !== null);
    say('Open a photograph.');
  } catch (error) {
    if (error.status !== 401) return fail(error);
    controls.askKey({
      wrong: given,
      use: (key) => { useKey(key); start(true); },
      leave: () => fail(new Error('This server asks for a key. Reload the page to give it.')),
    });
  }
}

/** Take a file in: show it at once, and encode it on the server. */
const open = latestOnly(async (file) => {
  hideFailure();
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return showFailure(new Error(`This browser cannot show ${file.name || 'the picture'}. Save it as JPEG or PNG.`));
  }
  workspace.found?.stop();
  stage.dropBox();
  workspace.begin({ file, bitmap, width: bitmap.width, height: bitmap.height, id: null });
  say('Encoding the photograph…');
  const { photograph } = workspace;
  try {
    const [image, ms] = await timed(() => sendImage(file));
    Object.assign(photograph, { id: image.id, width: image.width, height: image.height });
    showTimings({ 'Encode': image.timings.encode ?? null, 'Upload and encode': ms });
    showTimings({ 'Decode': null, 'Click to mask': null });
    workspace.changed();
    stage.focus();
    say(`Ready${image.cached ? ' (seen before)' : ''}. Click an object, or drag a box around it.`);
  } catch (error) {
    workspace.begin(null);
    fail(error);
  }
});

/** A point on the stage: of the prompt, or the choice of a mask that was found. */
function point(at, label) {
  const { found } = workspace;
  stage.dropBox();
  if (!found) return workspace.addPoint(at, label);
  const mask = found.at(at);
  if (mask) choose(mask);
  else say('Nothing was found here. Clear (Esc) goes back to clicks.');
}

/** Keep a mask that was found, or put it back. */
function choose(mask) {
  const kept = workspace.objects.find((object) => object.mask === mask);
  if (kept) workspace.remove(kept.number);
  else workspace.keep([mask]);
  say(`${workspace.objects.length} kept.`);
}

/** Ask for the prompt's masks. Of prompts that come while an answer is awaited, only the last is asked. */
const ask = latestOnly(async () => {
  const { prompt, photograph } = workspace;
  if (!workspace.asked) return;
  controls.busy(true);
  try {
    const [answer, ms] = await timed(() => decode(photograph, prompt));
    if (workspace.prompt !== prompt || workspace.photograph !== photograph) return; // Stale.
    hideFailure();
    workspace.set({ answer: { masks: answer.masks, selected: answer.preferred, prompt }, preview: null });
    showTimings({ 'Decode': answer.timings.decode ?? null, 'Click to mask': ms });
    sayMask();
  } catch (error) {
    if (workspace.prompt === prompt) fail(error);
  } finally {
    controls.busy(false);
  }
});

let hovered = null; // The pixel under the pointer.

/** Preview the mask under the pointer, as long as there is no prompt. */
const preview = latestOnly(async (at) => {
  const { photograph } = workspace;
  const idle = () => workspace.photograph === photograph && hovered
    && !workspace.asked && !workspace.found && !workspace.dragged;
  if (hovered !== at || !idle()) return;
  try {
    const { masks } = await decode(
      photograph, { points: [{ x: at[0], y: at[1], label: 1 }], box: null }, { multimask: false, patient: false },
    );
    if (idle()) workspace.set({ preview: masks[0] });
  } catch (error) {
    if (!(error instanceof ApiError)) fail(error); // Else the click that follows says what is wrong.
  }
});

function hover(at) {
  hovered = at;
  const { found } = workspace;
  if (found) {
    found.hovered = at && found.at(at);
    workspace.changed();
  } else if (!at && workspace.preview) workspace.set({ preview: null });
  else if (at && workspace.photograph?.id && !workspace.asked && !workspace.dragged) preview(at);
}

/** Switch between decoding in this browser and on the server. */
async function decodeHere(wanted) {
  wantsLocal = wanted;
  if (wanted) {
    say('Loading the decoder into this browser…');
    controls.busy(true);
    try {
      await local.load();
    } catch (error) {
      return leaveLocal(error);
    } finally {
      controls.busy(false);
    }
    if (!wantsLocal) return; // Switched off meanwhile.
  }
  decode = wanted ? decodeLocally : decodeOnServer;
  say(wanted ? 'This browser decodes from now on.' : 'The server decodes from now on.');
  if (workspace.asked) ask();
}

/** Decode in this browser. The server takes over for good where that fails. */
async function decodeLocally(photograph, prompt, options) {
  try {
    return await local.decode(photograph, prompt, options);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    leaveLocal(error);
    return decodeOnServer(photograph, prompt, options);
  }
}

function leaveLocal(error) {
  local.end();
  wantsLocal = false;
  decode = decodeOnServer;
  controls.localOff();
  fail(new Error(`This browser cannot decode: ${error.message}. The server decodes instead.`));
}

function sayMask() {
  const { mask, answer } = workspace;
  const number = `Mask ${answer.selected + 1} of ${answer.masks.length}`;
  say(`${number}: predicted IoU ${mask.score.toFixed(2)}, ${(100 * mask.extent.share).toFixed(1)} % of the photograph.`);
}

function fail(error) {
  say('That did not work.');
  showFailure(error);
}

workspace.addEventListener('change', () => {
  controls.show();
  downloads.show();
  candidates.show(workspace.answer, workspace.photograph);
  objects.show(workspace.objects);
  words.show();
});
workspace.addEventListener('prompt', () => {
  if (workspace.found && workspace.asked) finding.leave(); // Undo has brought back a prompt.
  ask();
});
fillHelp(keys);
listenToKeys(keys);
listenToIncoming(open, showFailure);
workspace.changed();
start();
