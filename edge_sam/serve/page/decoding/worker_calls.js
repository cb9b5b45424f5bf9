/** Calls to a worker that answers each message `{id, kind, …}` with `{id, answer}` or `{id, failure}`. */
export class WorkerCalls {
  #worker;
  #open = new Map();
  #made = 0;

  /** `other` is told of messages without an id, such as progress. */
  constructor(worker, other = () => {}) {
    this.#worker = worker instanceof Worker ? worker : new Worker(worker, { type: 'module' });
    this.#worker.onmessage = ({ data }) => {
      if (data.id === undefined) return other(data);
      const { resolve, reject } = this.#open.get(data.id);
      this.#open.delete(data.id);
      if ('failure' in data) reject(new Error(data.failure));
      else resolve(data.answer);
    };
    this.#worker.onerror = ({ message }) => {
      this.#refuse(message || 'the worker did not start');
    };
  }

  #refuse(message) {
    for (const { reject } of this.#open.values()) reject(new Error(message));
    this.#open.clear();
  }

  call(kind, message = {}, transfer = []) {
    return new Promise((resolve, reject) => {
      this.#made += 1;
      this.#open.set(this.#made, { resolve, reject });
      this.#worker.postMessage({ id: this.#made, kind, ...message }, transfer);
    });
  }

  end() {
    this.#worker.terminate();
    this.#refuse('the worker has ended');
  }
}
