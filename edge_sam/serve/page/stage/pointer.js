/**
 * Mouse, pen and fingers on the stage.
 *
 * A click or tap is a point; with Shift, Ctrl or the right button, or held for long, one off the object. A drag is a
 * box. Two fingers, the wheel, or a drag with the middle button move and magnify the photograph.
 */

const STILL = 5; // Pixels that a click may move.
const LONG_PRESS = 500; // Milliseconds.

/**
 * Listen on `element`. `actions` has the functions `point(at, off)`, `box(from, to)`, `dragging(from, to)`,
 * `hover(at)` (null: left), `zoom(factor, at)` and `pan(dx, dy)`. Places are in CSS pixels of the element.
 */
export function listenToPointer(element, actions) {
  const pressed = new Map(); // Pointer id → last place.
  let gesture = null; // {kind: 'press' | 'box' | 'pan' | 'done', from, off, timer}

  const at = ({ clientX, clientY }) => {
    const { left, top } = element.getBoundingClientRect();
    return [clientX - left, clientY - top];
  };
  const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);
  const end = (kind) => {
    clearTimeout(gesture?.timer);
    if (gesture?.kind === 'box') actions.dragging(null);
    gesture = kind && { kind };
  };

  element.addEventListener('pointerdown', (event) => {
    element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    const place = at(event);
    pressed.set(event.pointerId, place);
    if (pressed.size === 2 || event.button === 1) {
      end('pan');
      event.preventDefault();
    } else if (pressed.size === 1) {
      gesture = { kind: 'press', from: place, off: event.shiftKey || event.ctrlKey || event.button === 2 };
      if (event.pointerType !== 'mouse') gesture.timer = setTimeout(held, LONG_PRESS, place);
    }
  });

  function held(place) {
    end('done');
    navigator.vibrate?.(15);
    actions.point(place, true);
  }

  element.addEventListener('pointermove', (event) => {
    const place = at(event);
    const before = pressed.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== 'touch') actions.hover(place);
      return;
    }
    if (gesture?.kind === 'pan') move(event.pointerId, before, place);
    else if (gesture?.kind === 'press' && distance(gesture.from, place) > STILL) {
      clearTimeout(gesture.timer);
      gesture.kind = 'box';
    }
    if (gesture?.kind === 'box') actions.dragging(gesture.from, place);
    pressed.set(event.pointerId, place);
  });

  /** Two fingers: the photograph stays under both. One pointer: it follows. */
  function move(id, before, place) {
    const other = [...pressed].find(([each]) => each !== id)?.[1];
    if (other) actions.zoom(distance(place, other) / Math.max(1, distance(before, other)), other);
    else actions.pan(place[0] - before[0], place[1] - before[1]);
  }

  const released = (event) => {
    if (!pressed.delete(event.pointerId)) return;
    const done = gesture;
    if (pressed.size) return;
    end(null);
    if (event.type !== 'pointerup') return;
    if (done?.kind === 'press') actions.point(done.from, done.off);
    if (done?.kind === 'box') actions.box(done.from, at(event));
  };
  element.addEventListener('pointerup', released);
  element.addEventListener('pointercancel', released);
  element.addEventListener('pointerleave', () => actions.hover(null));
  element.addEventListener('contextmenu', (event) => event.preventDefault());
  element.addEventListener('wheel', (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    actions.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), at(event));
  }, { passive: false });
}
