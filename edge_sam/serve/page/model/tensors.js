/** Read tensors in the format of safetensors, as the server sends an embedding. */

const KINDS = {
  F32: { type: 'float32', View: Float32Array },
  I64: { type: 'int64', View: BigInt64Array },
};

/** Return `{tensors: {name: {type, data, dims}}, facts}` of an ArrayBuffer; `facts` are the header's metadata. */
export function readTensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const { __metadata__: facts, ...entries } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = {};
  for (const [name, { dtype, shape: dims, data_offsets: [start, end] }] of Object.entries(entries)) {
    const { type, View } = KINDS[dtype];
    const data = new View(buffer, 8 + length + start, (end - start) / View.BYTES_PER_ELEMENT);
    tensors[name] = { type, data, dims };
  }
  return { tensors, facts };
}
