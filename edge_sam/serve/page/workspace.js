/**
 * What the user works on: a photograph, a prompt and its masks, and the objects that were kept.
 *
 * Prompt and objects are steps of a history and never changed in place, so undo and redo are exact. Whoever shows
 * something listens to the event `change`.
 */

const EMPTY = { points: [], box: null };
const COLOURS = ['#e5484d', '#2f9e6e', '#8e6ff0', '#e08a1e', '#d6409f', '#1597a5', '#8fa51b', '#a56a43'];

export class Workspace extends EventTarget {
  photograph = null; // {file, bitmap, width, height, id}; `id` comes when it is encoded.
  sign = 1; // Label of the points that clicks add.
  answer = null; // {masks, selected, prompt}
  preview = null; // The mask under the pointer.
  cursor = null; // [x, y] of the keyboard's cursor.
  dragged = null; // The box while it is dragged.
  found = null; // The `FoundMasks` of everything mode or of words.
  #steps = [{ prompt: EMPTY, objects: [] }];
  #at = 0;
  #made = 0;

  get prompt() {
    return this.#steps[this.#at].prompt;
  }

  get objects() {
    return this.#steps[this.#at].objects;
  }

  /** The chosen mask of the answer to this very prompt. */
  get mask() {
    return this.answer?.prompt === this.prompt ? this.#answered : null;
  }

  /** The mask of the prompt before, until this one is answered. */
  get formerMask() {
    return this.mask ? null : this.#answered;
  }

  get #answered() {
    return this.answer?.masks[this.answer.selected] ?? null;
  }

  /** Whether there is a prompt to answer. */
  get asked() {
    return this.prompt.points.length > 0 || this.prompt.box !== null;
  }

  get canUndo() {
    return this.#at > 0;
  }

  get canRedo() {
    return this.#at < this.#steps.length - 1;
  }

  changed() {
    this.dispatchEvent(new Event('change'));
  }

  /** Set fields that are not part of the history. */
  set(fields) {
    Object.assign(this, fields);
    this.changed();
  }

  begin(photograph) {
    this.#steps = [{ prompt: EMPTY, objects: [] }];
    this.#at = 0;
    this.#made = 0;
    this.set({ photograph, answer: null, preview: null, cursor: null, dragged: null, found: null });
  }

  addPoint([x, y], label) {
    this.#step({ prompt: { ...this.prompt, points: [...this.prompt.points, { x, y, label }] } });
  }

  setBox(box) {
    this.#step({ prompt: { points: [], box } });
  }

  clear() {
    if (this.asked) this.#step({ prompt: EMPTY });
  }

  /** Keep a mask as an object. The prompt begins anew. */
  keep(masks) {
    const kept = masks.map((mask) => {
      const colour = COLOURS[this.#made % COLOURS.length];
      this.#made += 1;
      return { number: this.#made, mask, name: mask.name ?? 'object', colour, shown: true };
    });
    this.#step({ prompt: EMPTY, objects: [...this.objects, ...kept] });
  }

  remove(number) {
    this.#step({ objects: this.objects.filter((object) => object.number !== number) });
  }

  /** Change an object's `name` or whether it is `shown`. That is no step to undo. */
  edit(number, fields) {
    const step = this.#steps[this.#at];
    step.objects = step.objects.map((object) => (object.number === number ? { ...object, ...fields } : object));
    this.changed();
  }

  undo() {
    if (this.canUndo) this.#goTo(this.#at - 1);
  }

  redo() {
    if (this.canRedo) this.#goTo(this.#at + 1);
  }

  #step(fields) {
    this.#steps = [...this.#steps.slice(0, this.#at + 1), { ...this.#steps[this.#at], ...fields }];
    this.#goTo(this.#steps.length - 1);
  }

  #goTo(index) {
    const before = this.prompt;
    this.#at = index;
    this.preview = null;
    if (this.prompt !== before) {
      if (!this.asked) this.answer = null;
      this.dispatchEvent(new Event('prompt'));
    }
    this.changed();
  }
}
