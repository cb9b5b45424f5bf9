/** The masks of an answer, to choose from: a small picture and the predicted IoU of each. */

const SIDE = 144; // Pixels of a picture; shown at half that size.
const MARGIN = 0.12; // Around the mask, as a fraction of its box.

export class Candidates {
  #list = document.getElementById('candidates');
  #hint = document.getElementById('candidates-hint');
  #shown = null;
  #select;

  /** `select(index)` is called when the user chooses one. */
  constructor(select) {
    this.#select = select;
  }

  show(answer, photograph) {
    if (this.#shown !== (answer?.masks ?? null)) {
      this.#shown = answer?.masks ?? null;
      this.#list.replaceChildren(...(answer?.masks ?? []).map((mask, i) => this.#button(mask, i, photograph)));
    }
    this.#hint.hidden = Boolean(answer);
    [...this.#list.children].forEach((button, i) => {
      const chosen = i === answer.selected;
      button.setAttribute('aria-checked', String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    });
  }

  #button(mask, index, photograph) {
    const button = document.createElement('button');
    button.className = 'candidate';
    button.setAttribute('role', 'radio');
    button.setAttribute('aria-label', `Mask ${index + 1}, predicted IoU ${mask.score.toFixed(2)}`);
    button.title = `Predicted IoU ${mask.score.toFixed(3)}, ${(100 * mask.extent.share).toFixed(1)} % of the photograph`;
    const picture = document.createElement('canvas');
    picture.width = SIDE;
    picture.height = SIDE;
    drawMasked(picture.getContext('2d'), mask, photograph);
    const caption = document.createElement('span');
    const key = document.createElement('kbd');
    key.textContent = index + 1;
    caption.append(key, mask.score.toFixed(2));
    button.append(picture, caption);
    button.addEventListener('click', () => this.#select(index));
    button.addEventListener('keydown', (event) => this.#move(event, index));
    return button;
  }

  /** Arrow keys move within the group, as in any group of radio buttons. */
  #move(event, index) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const buttons = this.#list.children;
    const next = (index + step + buttons.length) % buttons.length;
    this.#select(next);
    buttons[next].focus();
  }
}

/** Draw what a mask contains, the rest of the photograph faded. */
function drawMasked(context, mask, { bitmap, width, height }) {
  const { share, box } = mask.extent;
  const [x0, y0, x1, y1] = share ? box : [0, 0, width, height];
  const side = Math.max(x1 - x0, y1 - y0) * (1 + 2 * MARGIN);
  const scale = SIDE / side;
  context.translate(SIDE / 2, SIDE / 2);
  context.scale(scale, scale);
  context.translate(-(x0 + x1) / 2, -(y0 + y1) / 2);
  context.imageSmoothingQuality = 'high';
  context.globalAlpha = 0.22;
  context.drawImage(bitmap, 0, 0, width, height);
  context.globalAlpha = 1;
  context.clip(mask.path, 'evenodd');
  context.drawImage(bitmap, 0, 0, width, height);
}
