/** Keys: one list, for the listener and for the help. */

const STEP = 0.01; // Of the photograph's longer side.
const LEAP = 0.05;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Return the table of keys: what to press, what it does, the test of an event, and the action. */
export function keyTable(actions) {
  const key = (...keys) => ({ key: pressed, ctrlKey, metaKey }) =>
    keys.includes(pressed.toLowerCase()) && !ctrlKey && !metaKey;
  const control = (shift) => ({ key: pressed, ctrlKey, metaKey, shiftKey }) =>
    pressed.toLowerCase() === 'z' && (ctrlKey || metaKey) && shiftKey === shift;
  return [
    { keys: ['←', '→', '↑', '↓'], what: 'Move the cursor; with Shift in longer steps',
      on: ({ key: pressed }) => pressed in ARROWS,
      run: ({ key: pressed, shiftKey }) => actions.moveCursor(ARROWS[pressed], shiftKey ? LEAP : STEP) },
    { keys: ['Enter'], what: 'Add a point at the cursor; with Shift off the object', on: key('enter'),
      run: ({ shiftKey }) => actions.pointAtCursor(shiftKey) },
    { keys: ['B'], what: 'Begin a box at the cursor, and end it there', on: key('b'), run: actions.boxAtCursor },
    { keys: ['+', '−'], what: 'What clicks add: points on or off the object', on: key('+', '-', '='),
      run: ({ key: pressed }) => actions.sign(pressed === '-' ? 0 : 1) },
    { keys: ['1', '2', '3'], what: 'Choose one of the three masks', on: key('1', '2', '3'),
      run: ({ key: pressed }) => actions.select(Number(pressed) - 1) },
    { keys: ['K'], what: 'Keep the object and begin the next', on: key('k'), run: actions.keep },
    { keys: ['Ctrl Z'], what: 'Undo', on: control(false), run: actions.undo },
    { keys: ['Ctrl Shift Z'], what: 'Redo', on: control(true), run: actions.redo },
    { keys: ['Esc'], what: 'Clear the prompt, or leave what was found', on: key('escape'), run: actions.clear },
    { keys: ['E'], what: 'Find everything', on: key('e'), run: actions.everything },
    { keys: ['/'], what: 'Type words to find, if the server has a model for them', on: key('/'), run: actions.type },
    { keys: ['C'], what: 'Copy the cut-out', on: key('c'), run: actions.copy },
    { keys: ['0'], what: 'Show the whole photograph', on: key('0'), run: actions.fit },
    { keys: ['O'], what: 'Open a photograph', on: key('o'), run: actions.open },
    { keys: ['?'], what: 'This help', on: key('?'), run: actions.help },
  ];
}

/** Listen to the whole page, except where the user types or a dialog is open. */
export function listenToKeys(table) {
  document.addEventListener('keydown', (event) => {
    const { target } = event;
    if (target.closest('dialog, input:not([type="checkbox"])')) return;
    if (target.closest('button') && ['Enter', ' '].includes(event.key)) return;
    const entry = table.find(({ on }) => on(event));
    if (!entry) return;
    event.preventDefault();
    entry.run(event);
  });
}
