import { defineConfig } from 'vite'

// Names without hashes: the server names the files, and tells browsers by an ETag whether they changed.
export default defineConfig({
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
