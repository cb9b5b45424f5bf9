/**
 * Run one task at a time, for inputs that come faster than answers.
 *
 * While a task runs, only the newest input waits; older ones are dropped. Returns the function that takes an input.
 * The task deals with its own errors.
 */
export function latestOnly(task) {
  let busy = false;
  let waiting = null;
  return async function run(input) {
    if (busy) {
      waiting = { input };
      return;
    }
    busy = true;
    try {
      await task(input);
    } finally {
      busy = false;
      const next = waiting;
      waiting = null;
      if (next) run(next.input);
    }
  };
}
