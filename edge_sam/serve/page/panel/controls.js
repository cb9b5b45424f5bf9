/** The bar and the toolbar: what can be pressed, and what is pressed. */

import { Everything } from '../everything.js';

const element = (id) => document.getElementById(id);

export class Controls {
  #workspace;
  #working = 0;

  constructor(workspace, actions) {
    this.#workspace = workspace;
    const pressed = {
      'open': actions.open,
      'choose': actions.open,
      'help-open': actions.help,
      'undo': actions.undo,
      'redo': actions.redo,
      'clear': actions.clear,
      'everything': actions.everything,
      'keep': actions.keep,
      'sign-on': () => actions.sign(1),
      'sign-off': () => actions.sign(0),
    };
    for (const [id, action] of Object.entries(pressed)) element(id).addEventListener('click', () => action());
    element('local-switch').addEventListener('change', ({ target }) => actions.decodeHere(target.checked));
    this.show();
  }

  show() {
    const { photograph, sign, mask, found, asked, canUndo, canRedo } = this.#workspace;
    const ready = Boolean(photograph?.id);
    document.body.dataset.state = ready ? 'ready' : photograph ? 'encoding' : 'empty';
    element('sign-on').setAttribute('aria-checked', String(sign === 1));
    element('sign-off').setAttribute('aria-checked', String(sign === 0));
    element('everything').setAttribute('aria-pressed', String(found instanceof Everything));
    element('undo').disabled = !canUndo;
    element('redo').disabled = !canRedo;
    element('clear').disabled = !asked && !found;
    element('everything').disabled = !ready;
    element('keep').disabled = !mask && !found?.masks.length;
    element('keep').querySelector('span').textContent = found ? 'Keep all' : 'Keep';
    this.#showProgress();
  }

  /** Something began (true) or ended (false) for which the user waits. */
  busy(began) {
    this.#working += began ? 1 : -1;
    this.#showProgress();
  }

  showModel({ name, precision, runtime }) {
    element('model').textContent = `${name} · ${runtime} · ${precision}`;
  }

  offerLocal(offered) {
    element('local').hidden = !offered;
  }

  localOff() {
    element('local-switch').checked = false;
  }

  /** Ask for the API key, and hand it to `use`; call `leave` if none is given. `wrong`: the one before was. */
  askKey({ wrong, use, leave }) {
    const dialog = element('key');
    element('key-wrong').hidden = !wrong;
    dialog.returnValue = '';
    const close = () => (dialog.returnValue ? use(element('key-value').value) : leave());
    dialog.addEventListener('close', close, { once: true });
    dialog.showModal();
  }

  #showProgress() {
    const { photograph, found } = this.#workspace;
    element('progress').hidden = !(this.#working || found?.running || (photograph && !photograph.id));
  }
}
