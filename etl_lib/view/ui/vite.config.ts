// One script that Airflow loads into its own page; React and Chakra come from the page: one theme, shared hooks.
import { defineConfig } from "vite";

const HOST = {
  react: "React", "react-dom": "ReactDOM", "react/jsx-runtime": "ReactJSXRuntime", "@chakra-ui/react": "ChakraUI",
};

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
