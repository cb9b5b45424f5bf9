/** The field for words, and the list of the masks that they found. */

const form = document.getElementById('words');
const field = document.getElementById('words-text');
const section = document.getElementById('found');
const list = document.getElementById('found-list');

export class WordField {
  #workspace;
  #shown = null;
  #choose;

  /** `find(text)` is called with what the user types, `leave()` on Escape, `choose(mask)` with a mask of the list. */
  constructor(workspace, { find, leave, choose }) {
    this.#workspace = workspace;
    this.#choose = choose;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (field.value.trim()) find(field.value);
    });
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') leave();
    });
  }

  /** Show the field if the server has a `matcher`. */
  offer(matcher) {
    form.hidden = !matcher;
  }

  get focused() {
    return form.contains(document.activeElement);
  }

  focus() {
    if (form.hidden || !field.offsetParent) return;
    field.focus();
    field.select();
  }

  /** List the masks that have words, the best first; mark those that are kept. */
  show() {
    const { found, objects } = this.#workspace;
    const masks = (found?.masks ?? []).filter(({ name }) => name).sort((a, b) => b.match - a.match);
    section.hidden = !masks.length;
    const key = masks.length ? found : null;
    if (key !== this.#shown) list.replaceChildren(...masks.map((mask) => this.#item(mask)));
    this.#shown = key;
    masks.forEach((mask, i) => {
      const kept = objects.some((object) => object.mask === mask);
      list.children[i].firstChild.setAttribute('aria-pressed', String(kept));
    });
  }

  #item(mask) {
    const item = document.createElement('li');
    const button = document.createElement('button');
    const [square, name, score] = ['span', 'span', 'small'].map((tag) => document.createElement(tag));
    square.className = 'colour';
    square.style.background = mask.colour;
    name.textContent = mask.name;
    score.textContent = mask.match.toFixed(2);
    button.title = 'Keep it, or put it back';
    button.append(square, name, score);
    button.addEventListener('click', () => this.#choose(mask));
    for (const [event, hovered] of [['pointerenter', mask], ['pointerleave', null], ['focus', mask], ['blur', null]]) {
      button.addEventListener(event, () => this.#hover(hovered));
    }
    item.append(button);
    return item;
  }

  #hover(mask) {
    const { found } = this.#workspace;
    if (!found) return;
    found.hovered = mask;
    this.#workspace.changed();
  }
}
