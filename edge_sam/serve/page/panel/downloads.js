/** The buttons that save and copy: the objects that are shown, and the mask that is being made. */

import { cocoJson, cutOutPng, download, maskPng, outlineSvg } from './files.js';
import { say, showFailure } from './messages.js';

const KINDS = {
  'save-mask': { make: maskPng, ending: '-mask.png' },
  'save-cutout': { make: cutOutPng, ending: '-cutout.png' },
  'save-coco': { make: cocoJson, ending: '-coco.json' },
  'save-svg': { make: outlineSvg, ending: '-outline.svg' },
};
const CURRENT = { name: 'object', colour: '#2f8bff' };

export class Downloads {
  #workspace;
  #copy = document.getElementById('copy');

  constructor(workspace) {
    this.#workspace = workspace;
    for (const [id, kind] of Object.entries(KINDS)) {
      document.getElementById(id).addEventListener('click', () => this.#save(kind));
    }
    this.#copy.hidden = !(navigator.clipboard && globalThis.ClipboardItem); // Only where the page came securely.
    this.#copy.addEventListener('click', () => this.copy());
  }

  get #things() {
    const { objects, mask } = this.#workspace;
    return [...objects.filter(({ shown }) => shown), ...(mask ? [{ ...CURRENT, mask }] : [])];
  }

  show() {
    const none = this.#things.length === 0;
    for (const button of document.querySelectorAll('#downloads button')) button.disabled = none;
  }

  async #save({ make, ending }) {
    const { photograph } = this.#workspace;
    try {
      download(await make(this.#things, photograph), photograph, ending);
      say('Saved.');
    } catch (error) {
      showFailure(error);
    }
  }

  async copy() {
    if (this.#copy.hidden || this.#things.length === 0) return;
    try {
      const png = cutOutPng(this.#things, this.#workspace.photograph);
      await navigator.clipboard.write([new ClipboardItem({ 'image/png': png })]);
      say('The cut-out is in the clipboard.');
    } catch (error) {
      showFailure(new Error(`The browser does not let this page copy: ${error.message}`));
    }
  }
}
