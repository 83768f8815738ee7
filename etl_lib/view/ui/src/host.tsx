// Links and the address bar. Not the router's own link and search parameters: they change pages in a transition, in which
// Airflow 3.3.2 makes a plugin's lazy component anew at each try, so that the address changes and the page never does.
import { type ReactNode, useState } from "react";
import { Link as ChakraLink } from "@chakra-ui/react";

type Router = { useHref: (to: string) => string };
const { useHref } = (globalThis as unknown as { ReactRouterDOM: Router }).ReactRouterDOM;

export function Link({ to, children }: { to: string; children: ReactNode }) {
  return <ChakraLink href={useHref(to)} color="fg" textDecoration="underline" textUnderlineOffset="2px">{children}</ChakraLink>;
}

export function useAddress(to: string): string {
  return useHref(to);
}

// What somebody has chosen to see stands in the address, so that a link shows the same to others.
export function useQuery(): [URLSearchParams, (name: string, value: string) => void] {
  const [query, setQuery] = useState(() => new URLSearchParams(window.location.search));
  const set = (name: string, value: string) => {
    const next = new URLSearchParams(window.location.search);
    if (value) next.set(name, value);
    else next.delete(name);
    const text = next.toString();
    window.history.replaceState(window.history.state, "", window.location.pathname + (text ? `?${text}` : ""));
    setQuery(next);
  };
  return [query, set];
}

export const LIST = "/plugin/clients";
export const clientPage = (clientId: string) => `/dags/${encodeURIComponent(clientId)}/plugin/integration`;
export const runPage = (clientId: string, runId: string) =>
  `/dags/${encodeURIComponent(clientId)}/runs/${encodeURIComponent(runId)}/plugin/result`;
export const logPage = (clientId: string, runId: string, stage: string) =>
  `/dags/${encodeURIComponent(clientId)}/runs/${encodeURIComponent(runId)}/tasks/${encodeURIComponent(stage)}`;
