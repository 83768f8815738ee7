// What Airflow's own page gives to apps inside it: the router that its links and its address bar follow.
import type { MouseEvent, ReactNode } from "react";

type Router = {
  useNavigate: () => (to: string, options?: { flushSync: boolean }) => void;
  useHref: (to: string) => string;
  useSearchParams: () => [URLSearchParams, (next: URLSearchParams, options?: { replace: boolean }) => void];
};

const { useNavigate, useHref, useSearchParams } = (globalThis as unknown as { ReactRouterDOM: Router }).ReactRouterDOM;
export { useSearchParams };

// Not the router's own link: it changes pages in a transition, in which Airflow 3.3.2 makes a plugin's lazy component
// anew at each try, so that the address changes and the page never does. A synchronous change shows it at once.
export function Link({ to, children }: { to: string; children: ReactNode }) {
  const navigate = useNavigate();
  const go = (event: MouseEvent) => {
    if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(to, { flushSync: true });
  };
  return <a href={useHref(to)} onClick={go}>{children}</a>;
}

export const clientPage = (clientId: string) => `/dags/${encodeURIComponent(clientId)}/plugin/integration`;
export const runPage = (clientId: string, runId: string) =>
  `/dags/${encodeURIComponent(clientId)}/runs/${encodeURIComponent(runId)}/plugin/result`;
export const logPage = (clientId: string, runId: string, stage: string) =>
  `/dags/${encodeURIComponent(clientId)}/runs/${encodeURIComponent(runId)}/tasks/${encodeURIComponent(stage)}`;
