/** Read numpy's .npz as `np.savez` writes it: a ZIP file of .npy files without compression. */

const LOCAL_FILE = 0x04034b50;
const FROM_EXTRA = 0xffffffff; // The size is in the extra field of ZIP64.

/** Return `{name: {data: Float32Array, shape}}` of an ArrayBuffer with arrays of float16 and float32. */
export function readNpz(buffer) {
  const view = new DataView(buffer);
  const arrays = {};
  let at = 0;
  while (at + 30 <= buffer.byteLength && view.getUint32(at, true) === LOCAL_FILE) {
    if (view.getUint16(at + 8, true) !== 0) throw new Error('the file of arrays is compressed');
    const nameLength = view.getUint16(at + 26, true);
    const extraLength = view.getUint16(at + 28, true);
    const name = new TextDecoder().decode(new Uint8Array(buffer, at + 30, nameLength));
    const extra = at + 30 + nameLength;
    const given = view.getUint32(at + 22, true);
    const size = given === FROM_EXTRA ? Number(view.getBigUint64(extra + 4, true)) : given;
    arrays[name.replace(/\.npy$/, '')] = readNpy(buffer, extra + extraLength);
    at = extra + extraLength + size;
  }
  return arrays;
}

function readNpy(buffer, start) {
  const view = new DataView(buffer, start);
  const long = view.getUint8(6) > 1; // Version 2 has a header length of four bytes.
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const data = start + (long ? 12 : 10) + length;
  const header = new TextDecoder().decode(new Uint8Array(buffer, data - length, length));
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(',').filter((part) => part.trim()).map(Number);
  const count = shape.reduce((product, side) => product * side, 1);
  if (header.includes("'<f4'")) return { shape, data: new Float32Array(buffer.slice(data, data + 4 * count)) };
  if (header.includes("'<f2'")) return { shape, data: fromHalf(new Uint16Array(buffer.slice(data, data + 2 * count))) };
  throw new Error(`an array has another type: ${header.trim()}`);
}

/** Convert bits of float16 to float32. */
function fromHalf(bits) {
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i += 1) {
    const exponent = (bits[i] >> 10) & 0x1f;
    const fraction = bits[i] & 0x3ff;
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    values[i] = bits[i] & 0x8000 ? -size : size;
  }
  return values;
}
