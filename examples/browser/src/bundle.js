/** The files of a bundle: fetched with progress, checked, and kept in Cache Storage under their SHA-256. */

const CACHE = 'edge-sam-bundles';

/**
 * Return `{manifest, precision, encoder, decoder, upscaling, constants, probe}` of the bundle at `base`; `upscaling` is
 * undefined if the decoder has one part. `progress(loaded, total)` is in bytes.
 */
export async function openBundle(base, progress) {
  const response = await fetch(`${base}manifest.json`);
  if (!response.ok) throw new Error(`there is no bundle at ${base} (${response.status})`);
  const manifest = await response.json();
  const [{ precision }] = manifest.components;
  const second = manifest.components.some(({ role }) => role === 'upscaling') ? ['upscaling'] : [];
  const chosen = ['encoder', 'decoder', 'constants', 'probe', ...second].map((role) => (
    component(manifest, role, precision)
  ));
  const total = chosen.reduce((sum, { bytes }) => sum + bytes, 0);
  let loaded = 0;
  const files = chosen.map((each) => file(base, each, (bytes) => progress((loaded += bytes), total)));
  const [encoder, decoder, constants, probe, upscaling] = await Promise.all(files);
  return { manifest, precision, encoder, decoder, upscaling, constants, probe };
}

function component(manifest, role, precision) {
  const format = role === 'constants' || role === 'probe' ? 'npz' : 'onnx';
  const found = manifest.components.find(
    (each) => each.role === role && each.precision === precision && each.format === format,
  );
  if (!found) throw new Error(`the bundle has no ${role} in ${precision}`);
  return found;
}

async function file(base, { file: name, sha256, bytes }, progress) {
  // Absent without HTTPS and in some private windows.
  const cache = await globalThis.caches?.open(CACHE).catch(() => undefined);
  const key = new URL(`${sha256}/${name}`, globalThis.location.href).href;
  const kept = await cache?.match(key);
  if (kept) {
    progress(bytes);
    return kept.arrayBuffer();
  }
  const data = await download(`${base}${name}`, bytes, progress);
  if (crypto.subtle && (await digest(data)) !== sha256) throw new Error(`${name} is damaged; reload the page`);
  await cache?.put(key, new Response(data)).catch(() => {}); // The disk may be full: it works without.
  return data;
}

async function download(url, bytes, progress) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} cannot be fetched (${response.status})`);
  const data = new Uint8Array(bytes);
  const reader = response.body.getReader();
  for (let at = 0; ;) {
    const { done, value } = await reader.read();
    if (done && at === bytes) return data.buffer;
    if (done || at + value.length > bytes) throw new Error(`${url} has not ${bytes} bytes; reload the page`);
    data.set(value, at);
    at += value.length;
    progress(value.length);
  }
}

async function digest(data) {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
