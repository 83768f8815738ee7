// What Airflow's own page gives to apps inside it: the router that its links and its address bar follow.
import type { ComponentType, ReactNode } from "react";

type Router = {
  Link: ComponentType<{ to: string; children: ReactNode; title?: string }>;
  useSearchParams: () => [URLSearchParams, (next: URLSearchParams, options?: { replace: boolean }) => void];
};

const { Link, useSearchParams } = (globalThis as unknown as { ReactRouterDOM: Router }).ReactRouterDOM;
export { Link, useSearchParams };

export const clientPage = (clientId: string) => `/dags/${encodeURIComponent(clientId)}/plugin/integration`;
export const runPage = (clientId: string, runId: string) =>
  `/dags/${encodeURIComponent(clientId)}/runs/${encodeURIComponent(runId)}/plugin/result`;
export const logPage = (clientId: string, runId: string, stage: string) =>
  `/dags/${encodeURIComponent(clientId)}/runs/${encodeURIComponent(runId)}/tasks/${encodeURIComponent(stage)}`;
