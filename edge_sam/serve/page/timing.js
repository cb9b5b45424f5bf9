/** Time, in milliseconds. */

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Await `work` and return `[its result, how long it took]`. */
export async function timed(work) {
  const start = performance.now();
  const result = await work();
  return [result, performance.now() - start];
}
