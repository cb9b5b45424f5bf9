/** What the page says: the line of status, failures, times, and the help. */

const status = document.getElementById('status');
const failure = document.getElementById('failure');
const timings = document.getElementById('timings');

failure.querySelector('button').addEventListener('click', () => { failure.hidden = true; });

/** Say what happens. Screen readers read it aloud. */
export function say(text) {
  if (status.textContent !== text) status.textContent = text;
}

/** Show an error until the user closes it or something succeeds. */
export function showFailure(error) {
  const [line] = failure.getElementsByTagName('p');
  line.textContent = error.message.replace(/^./, (first) => first.toUpperCase());
  if (error.requestId) {
    const id = document.createElement('small');
    id.textContent = `Request ${error.requestId}`;
    line.append(id);
  }
  failure.hidden = false;
}

export function hideFailure() {
  failure.hidden = true;
}

/** Show times: `{label: milliseconds}`. Those not given are left as they are; null removes one. */
export function showTimings(given) {
  for (const [label, ms] of Object.entries(given)) {
    let term = [...timings.getElementsByTagName('dt')].find((each) => each.textContent === label);
    if (ms === null) {
      term?.nextElementSibling.remove();
      term?.remove();
    } else {
      if (!term) {
        term = document.createElement('dt');
        term.textContent = label;
        timings.append(term, document.createElement('dd'));
      }
      term.nextElementSibling.textContent = inWords(ms);
    }
  }
}

const inWords = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`);

/** Fill the help with what the mouse and fingers do, and the table of keys. */
export function fillHelp(keys) {
  const pointers = [
    { keys: ['Click', 'Tap'], what: 'Add a point on the object' },
    { keys: ['Shift Click', 'Right click', 'Long press'], what: 'Add a point off it' },
    { keys: ['Drag'], what: 'Draw a box around it' },
    { keys: ['Wheel', 'Pinch'], what: 'Magnify; two fingers or the middle button move' },
  ];
  const rows = [...pointers, ...keys].map(({ keys: names, what }) => {
    const row = document.createElement('tr');
    const head = document.createElement('th');
    head.scope = 'row';
    names.forEach((name, i) => {
      const key = document.createElement('kbd');
      key.textContent = name;
      head.append(...(i ? [' '] : []), key);
    });
    const cell = document.createElement('td');
    cell.textContent = what;
    row.append(head, cell);
    return row;
  });
  document.getElementById('help-rows').replaceChildren(...rows);
}
