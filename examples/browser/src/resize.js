/**
 * Resize as Pillow does with BILINEAR, which SAM was trained with: when it reduces, the triangle grows with the scale.
 * A canvas resizes with another filter, which changes the masks of ambiguous prompts.
 */

/** Resize RGBA bytes, `{width, height, data}`, to RGB: a Uint8ClampedArray of `width` × `height` × 3. */
export function resize(image, width, height) {
  const across = weights(image.width, width);
  const lines = new Uint8ClampedArray(image.height * width * 3);
  for (let y = 0, to = 0; y < image.height; y += 1) {
    for (const { first, values } of across) {
      let [red, green, blue] = [0, 0, 0];
      for (let i = 0, from = 4 * (y * image.width + first); i < values.length; i += 1, from += 4) {
        red += values[i] * image.data[from];
        green += values[i] * image.data[from + 1];
        blue += values[i] * image.data[from + 2];
      }
      lines[to] = red;
      lines[to + 1] = green;
      lines[to + 2] = blue;
      to += 3;
    }
  }
  const stride = 3 * width;
  const resized = new Uint8ClampedArray(height * stride);
  weights(image.height, height).forEach(({ first, values }, y) => {
    for (let x = 0; x < stride; x += 1) {
      let sum = 0;
      for (let i = 0, from = first * stride + x; i < values.length; i += 1, from += stride) {
        sum += values[i] * lines[from];
      }
      resized[y * stride + x] = sum;
    }
  });
  return resized;
}

/** For each pixel of the result along one axis: the first pixel of the source that it takes, and the weights. */
function weights(from, to) {
  const scale = from / to;
  const support = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const middle = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(middle - support + 0.5));
    const end = Math.min(from, Math.trunc(middle + support + 0.5));
    const values = Array.from({ length: end - first }, (__, k) =>
      Math.max(0, 1 - Math.abs(first + k - middle + 0.5) / support));
    const sum = values.reduce((total, value) => total + value, 0);
    return { first, values: Float64Array.from(values, (value) => value / sum) };
  });
}
