import { defineConfig } from 'vite';

const REPOSITORY = new URL('../../', import.meta.url).pathname;

/** With these headers the page is isolated from other origins, and browsers then allow it shared memory: threads. */
const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};
const headers = process.env.ISOLATED === '0' ? {} : ISOLATED;

export default defineConfig({
  base: './',
  // The bundle's files lie beside the page: the model that the package carries, or another folder.
  publicDir: process.env.MODEL ?? `${REPOSITORY}edge_sam/bundles/mobile-sam`,
  resolve: {
    alias: { '@edge-sam': `${REPOSITORY}edge_sam/serve/page` },
    // onnxruntime-web then takes its .wasm from the addresses that src/worker.js gives.
    conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'development|production'],
  },
  server: { headers, fs: { allow: [REPOSITORY] } },
  preview: { headers },
  worker: { format: 'es' },
  build: { target: 'es2022', assetsInlineLimit: 0 },
});
