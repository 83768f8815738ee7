// Airflow's own colours, through the variables of its theme: light and dark follow by themselves.
const CSS = `
.iv { color: var(--chakra-colors-fg); padding: 16px; font-size: 14px; max-width: 1800px; }
.iv h1 { font-size: 20px; font-weight: 600; margin: 0 0 4px; } .iv h2 { font-size: 16px; font-weight: 600; margin: 24px 0 8px; }
.iv-muted { color: var(--chakra-colors-fg-muted); }
.iv-tiles { display: flex; flex-wrap: wrap; gap: 8px; margin: 12px 0; }
.iv-tile { border: 1px solid var(--chakra-colors-border); border-radius: 8px; padding: 8px 14px; background: var(--chakra-colors-bg);
  text-align: left; cursor: pointer; min-width: 108px; min-height: 60px; color: inherit; }
.iv-tile[aria-pressed="true"] { outline: 2px solid var(--chakra-colors-blue-solid, #2b6cb0); }
.iv-tile b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.iv-tools { display: flex; flex-wrap: wrap; gap: 8px; margin: 12px 0; align-items: center; }
.iv-tools input, .iv-tools select, .iv-tools button, .iv-tools a { border: 1px solid var(--chakra-colors-border); border-radius: 6px; padding: 6px 10px;
  background: var(--chakra-colors-bg); color: inherit; min-height: 34px; }
.iv-tools input[type=search] { min-width: min(320px, 100%); }
.iv-scroll { overflow: auto; max-height: 68vh; border: 1px solid var(--chakra-colors-border); border-radius: 8px; }
.iv table { border-collapse: collapse; width: 100%; }
.iv th, .iv td { padding: 6px 10px; border-bottom: 1px solid var(--chakra-colors-border); text-align: left; vertical-align: top; }
.iv th { position: sticky; top: 0; background: var(--chakra-colors-bg-muted, var(--chakra-colors-bg)); z-index: 1; white-space: nowrap; font-weight: 600; }
.iv th button { background: none; border: 0; color: inherit; font: inherit; cursor: pointer; padding: 0; }
.iv td.iv-number, .iv th.iv-number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.iv a { color: var(--chakra-colors-fg); text-decoration: underline; text-underline-offset: 2px; }
.iv-status { white-space: nowrap; font-weight: 600; border-left: 4px solid var(--iv-tone); padding-left: 8px; }
.iv-good { --iv-tone: var(--chakra-colors-success-solid, #2f855a); } .iv-warn { --iv-tone: var(--chakra-colors-orange-solid, #c05621); }
.iv-bad { --iv-tone: var(--chakra-colors-failed-solid, #c53030); } .iv-live { --iv-tone: var(--chakra-colors-running-solid, #2b6cb0); }
.iv-calm { --iv-tone: var(--chakra-colors-border); }
.iv-sparks { display: flex; align-items: flex-end; gap: 2px; height: 28px; }
.iv-spark { width: 6px; background: var(--iv-tone); border-radius: 1px; }
.iv-notice { border: 1px solid var(--chakra-colors-border); border-radius: 8px; padding: 16px; }
.iv-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 8px; }
.iv-bar { height: 6px; background: var(--chakra-colors-border); border-radius: 3px; overflow: hidden; min-width: 80px; }
.iv-bar span { display: block; height: 100%; background: var(--chakra-colors-running-solid, #2b6cb0); }
@media (max-width: 700px) { .iv { padding: 8px; } .iv-tile[data-none] { display: none; } .iv-tile { min-width: 96px; padding: 6px 10px; } }
`;

export function addStyle(): void {
  if (document.getElementById("integrations-view")) return;
  const sheet = document.createElement("style");
  sheet.id = "integrations-view";
  sheet.textContent = CSS;
  document.head.append(sheet);
}
