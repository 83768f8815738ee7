// One script that Airflow loads into its own page; React comes from the page, so that hooks are shared.
import { defineConfig } from "vite";

const HOST = { react: "React", "react-dom": "ReactDOM", "react/jsx-runtime": "ReactJSXRuntime" };

export default defineConfig({
  define: { "process.env.NODE_ENV": JSON.stringify("production") },
  build: {
    outDir: "../static",
    emptyOutDir: true,
    lib: { entry: "src/main.tsx", formats: ["iife"], name: "IntegrationsView", fileName: () => "view.js" },
    rollupOptions: {
      external: Object.keys(HOST),
      output: { globals: HOST },
    },
  },
});
