/** The objects that were kept: colour, name, whether shown. */

export class ObjectList {
  #list = document.getElementById('objects');
  #hint = document.getElementById('objects-hint');
  #shown = null;
  #workspace;

  constructor(workspace) {
    this.#workspace = workspace;
  }

  show(objects) {
    const key = objects.map(({ number, shown }) => `${number}${shown}`).join();
    this.#hint.hidden = objects.length > 0;
    if (key === this.#shown) return; // A name that is being typed stays in its field.
    this.#shown = key;
    this.#list.replaceChildren(...objects.map((object) => this.#item(object)));
  }

  #item({ number, name, colour, shown }) {
    const item = document.createElement('li');
    item.className = shown ? '' : 'hidden';
    const square = document.createElement('span');
    square.className = 'colour';
    square.style.background = colour;
    const field = document.createElement('input');
    field.value = name;
    field.setAttribute('aria-label', `Name of object ${number}`);
    field.maxLength = 100;
    field.addEventListener('change', () => {
      field.value = field.value.trim() || 'object';
      this.#workspace.edit(number, { name: field.value });
    });
    const eye = iconButton(shown ? 'show' : 'hide', `${shown ? 'Hide' : 'Show'} object ${number}`);
    eye.addEventListener('click', () => this.#workspace.edit(number, { shown: !shown }));
    const away = iconButton('clear', `Remove object ${number}`);
    away.addEventListener('click', () => this.#workspace.remove(number));
    item.append(square, field, eye, away);
    return item;
  }
}

function iconButton(icon, label) {
  const button = document.createElement('button');
  button.setAttribute('aria-label', label);
  button.title = label;
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `page/icons.svg#${icon}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  button.append(svg);
  return button;
}
