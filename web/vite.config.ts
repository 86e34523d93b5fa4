import { type Plugin, defineConfig } from 'vite'

/** OpenLayers' interpreter of styles that are written as JSON. Every layer names it, and ours have styles made of objects: it is
 * left out, 9 kB of what a visit transfers. */
const noFlatStyles: Plugin = {
  name: 'no-flat-styles',
  enforce: 'pre',
  resolveId: (source) => (source.endsWith('/render/canvas/style.js') ? '\0no-flat-styles' : undefined),
  load: (id) =>
    id === '\0no-flat-styles'
      ? 'export function flatStyleLikeToStyleFunction() { throw new Error("the page is built without flat styles") }'
      : undefined,
}

// Names without hashes: the server names the files, and tells browsers by an ETag whether they changed.
export default defineConfig({
  plugins: [noFlatStyles],
  build: {
    outDir: '../src/web/assets',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000,
    rollupOptions: {
      output: { entryFileNames: 'page.js', chunkFileNames: '[name].js', assetFileNames: 'page[extname]' },
    },
  },
})
