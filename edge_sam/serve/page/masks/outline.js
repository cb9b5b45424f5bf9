/**
 * Outlines of bitmaps: closed rings of corners between pixels, holes included.
 *
 * A ring runs along the edges between inside and outside, with the inside on its right. Pixels that touch only at a
 * corner belong to different rings. Each ring has an edge on top of a pixel, where the search finds it.
 */

const STEPS = [[1, 0], [0, 1], [-1, 0], [0, -1]]; // Right, down, left, up.

/** Return the rings of a bitmap: lists of [x, y], one for each step along the edges. */
export function traceEdges({ width, height, data }) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[y * width + x] === 1;
  const visited = new Uint8Array(width * height);
  const rings = [];
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      if (data[i] && !visited[i] && !(y > 0 && data[i - width])) rings.push(follow(x, y, inside, visited, width));
    }
  }
  return rings;
}

function follow(startX, startY, inside, visited, width) {
  const ring = [];
  let [x, y, heading] = [startX, startY, 0];
  do {
    ring.push([x, y]);
    if (heading === 0) visited[y * width + x] = 1;
    x += STEPS[heading][0];
    y += STEPS[heading][1];
    const [left, right] = pixelsAhead(x, y, heading);
    if (!inside(...right)) heading = (heading + 1) % 4;
    else if (inside(...left)) heading = (heading + 3) % 4;
  } while (x !== startX || y !== startY || heading !== 0);
  return ring;
}

/** The two pixels in front of a corner, left and right of the heading. */
function pixelsAhead(x, y, heading) {
  const around = [[x, y - 1], [x, y], [x - 1, y], [x - 1, y - 1]];
  return [around[heading], around[(heading + 1) % 4]];
}

/** Leave out corners on straight stretches. The polygon stays exact. */
export function corners(ring) {
  return ring.filter(([x, y], i) => {
    const [beforeX, beforeY] = ring.at(i - 1);
    const [afterX, afterY] = ring[(i + 1) % ring.length];
    return !((beforeX === x && x === afterX) || (beforeY === y && y === afterY));
  });
}

/** Cut the corners of pixels: the middles of the edges, without those on straight stretches. */
export function smooth(ring) {
  const middles = ring.map(([x, y], i) => {
    const [nextX, nextY] = ring[(i + 1) % ring.length];
    return [(x + nextX) / 2, (y + nextY) / 2];
  });
  return corners(middles);
}

/** Write rings as the data of an SVG path, scaled. Fill it with the rule `evenodd`. */
export function pathData(rings, scaleX = 1, scaleY = scaleX) {
  const number = (value) => String(Math.round(value * 100) / 100);
  return rings
    .map((ring) => `M${ring.map(([x, y]) => `${number(x * scaleX)} ${number(y * scaleY)}`).join('L')}Z`)
    .join('');
}
