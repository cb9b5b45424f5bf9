/** The server's HTTP API. Addresses are relative, so that the page works below any path of a proxy. */

let key = null;

/** Send this API key with every request. It is forgotten when the page is left. */
export function useKey(value) {
  key = value;
}

/** An answer that is an error: its HTTP `status`, the server's `code` and `requestId`, and `retryAfter` in seconds. */
export class ApiError extends Error {
  constructor(message, { status, code, requestId, retryAfter }) {
    super(message);
    Object.assign(this, { status, code, requestId, retryAfter });
  }
}

async function request(path, { json, headers, ...options } = {}) {
  const sent = new Headers(headers);
  if (key) sent.set('Authorization', `Bearer ${key}`);
  if (json !== undefined) sent.set('Content-Type', 'application/json');
  const body = json === undefined ? options.body : JSON.stringify(json);
  const method = body === undefined ? 'GET' : 'POST';
  let response;
  try {
    response = await fetch(path, { method, ...options, headers: sent, body });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('The server does not answer. Is it still running?', { status: 0, code: 'unreachable' });
  }
  if (!response.ok) throw await toError(response);
  return response;
}

async function toError(response) {
  const { error, request_id: requestId } = await response.json().catch(() => ({}));
  return new ApiError(error?.message ?? `The server answered ${response.status} ${response.statusText}`, {
    status: response.status,
    code: error?.code ?? 'unknown',
    requestId,
    retryAfter: Number(response.headers.get('Retry-After')) || undefined,
  });
}

/** Send a photograph's bytes, to be encoded: `{id, width, height, cached, timings}`. */
export async function sendImage(blob, signal) {
  const headers = { 'Content-Type': blob.type || 'application/octet-stream' };
  return (await request('images', { body: blob, headers, signal })).json();
}

/** Ask for the masks of one prompt: `{masks, preferred}` and the times in milliseconds. */
export async function askMasks(id, prompt, { multimask }) {
  const json = { prompts: [prompt], multimask, prefer: 'auto', format: 'rle' };
  const { results, timings } = await (await request(`images/${id}/masks`, { json })).json();
  return { ...results[0], timings };
}

/** Ask for all masks. Returns the lines of the answer, which are read as they come; the last is a summary. */
export async function askEverything(id, signal) {
  return linesOf(await request(`images/${id}/everything`, { json: {}, signal }));
}

async function* linesOf(response) {
  let rest = '';
  for await (const text of chunks(response.body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
  }
  if (rest) yield JSON.parse(rest);
}

/** Ask for the masks that words describe: `{masks, absent, timings}`. */
export async function askWords(id, text, signal) {
  return (await request(`images/${id}/text`, { json: { text }, signal })).json();
}

async function* chunks(stream) {
  const reader = stream.getReader(); // Not every browser can loop over a stream.
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** What the server runs. */
export const askModel = async () => (await request('model')).json();

/** A graph of the decoder, as ArrayBuffer. */
export const askGraph = async ({ url }) => (await request(url.replace(/^\//, ''))).arrayBuffer();

/** A photograph's embedding for a decoder elsewhere: the response. */
export const askEmbedding = (id) => request(`images/${id}/embedding?format=raw`);
