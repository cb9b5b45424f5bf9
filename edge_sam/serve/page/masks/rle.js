/**
 * COCO's run-length encoding: pixels down the columns, background first.
 *
 * Compressed counts are text. Each character, minus "0", holds five bits of a number, lowest first; the sixth bit is
 * set if the number continues, and the highest of the five bits in its last character is its sign. From the fourth
 * number on, each is the difference to the number two before it.
 */

const FIRST = 48; // "0"
const SIGN = 0x10;
const CONTINUES = 0x20;

/** Return the run lengths of `{size, counts}`, whose counts are text or a list of numbers. */
export function readRuns({ counts }) {
  if (typeof counts !== 'string') return Int32Array.from(counts);
  const runs = [];
  let number = 0;
  let shift = 0;
  for (let i = 0; i < counts.length; i += 1) {
    const digit = counts.charCodeAt(i) - FIRST;
    number |= (digit & 0x1f) << shift;
    shift += 5;
    if (digit & CONTINUES) continue;
    if (digit & SIGN && shift < 32) number |= -1 << shift;
    runs.push(runs.length > 2 ? number + runs[runs.length - 2] : number);
    number = 0;
    shift = 0;
  }
  return Int32Array.from(runs);
}

/** Encode a bitmap as `{size: [height, width], counts}`. */
export function encodeRle({ width, height, data }) {
  const runs = [];
  let value = 0;
  let length = 0;
  for (let x = 0; x < width; x += 1) {
    for (let i = x; i < data.length; i += width) {
      if (data[i] !== value) {
        runs.push(length);
        value = data[i];
        length = 0;
      }
      length += 1;
    }
  }
  runs.push(length);
  return { size: [height, width], counts: runs.map((run, i) => digits(i > 2 ? run - runs[i - 2] : run)).join('') };
}

function digits(number) {
  let text = '';
  for (;;) {
    const digit = number & 0x1f;
    number >>= 5;
    const done = digit & SIGN ? number === -1 : number === 0;
    text += String.fromCharCode(FIRST + (done ? digit : digit | CONTINUES));
    if (done) return text;
  }
}
