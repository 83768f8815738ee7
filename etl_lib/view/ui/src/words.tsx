// Numbers, times and statuses as people read them.
import type { ReactNode } from "react";
import { Alert, Badge, Box, EmptyState, Skeleton, Stack } from "@chakra-ui/react";
import type { Words } from "./api";

const NUMBER = new Intl.NumberFormat("en-US");
const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? "" : NUMBER.format(value);
}

export function size(bytes: number): string {
  const [unit, of] = bytes >= 1e6 ? ["MB", 1e6] as const : bytes >= 1e3 ? ["kB", 1e3] as const : ["bytes", 1] as const;
  return `${NUMBER.format(Math.round((10 * bytes) / of) / 10)} ${unit}`;
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const seconds = (from: string, to: string | null) => (new Date(to ?? Date.now()).getTime() - new Date(from).getTime()) / 1000;
export const spoken = (name: string) => name.replaceAll("_", " ");

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export function When({ at }: { at: string | null | undefined }) {
  if (!at) return <Box as="span" color="fg.muted">never</Box>;
  const instant = new Date(at);
  const away = (instant.getTime() - Date.now()) / 1000;
  const [unit, of] = UNITS.find(([, one]) => Math.abs(away) >= one) ?? ["second", 1];
  return <time dateTime={at} title={WHEN.format(instant)}>{AGO.format(Math.round(away / of), unit)}</time>;
}

// The sign stands beside the word: colour is never the only one.
export const SIGNS: Record<string, string> = {
  succeeded: "✓", succeeded_with_rejects: "✎", nothing_new: "=", awaiting_approval: "?", not_received: "∅", late: "◷", stale: "∅", not_expected: "–",
  failed: "✕", refused: "✕", running: "▶", waiting: "…", superseded: "»", undone: "↶", not_due: "–", dry_run: "≈",
};
export const NEEDS = ["failed", "not_received", "stale", "awaiting_approval", "refused"];
export const BAD = new Set(["failed", "not_received", "stale", "refused"]);

// Airflow's own colours of states; only what has been loaded is green, what has loaded nothing is gray.
export function palette(status: string): string {
  if (status === "succeeded") return "green";
  if (status === "succeeded_with_rejects" || status === "awaiting_approval" || status === "late") return "orange";
  if (BAD.has(status)) return "red";
  return status === "running" || status === "waiting" ? "blue" : "gray";
}

export function Status({ status, words, size: large }: { status: string; words: Words; size?: "lg" }) {
  return (
    <Badge colorPalette={palette(status)} variant="subtle" color="fg" size={large ?? "md"} borderLeftWidth="4px"
      borderLeftColor="colorPalette.solid" whiteSpace={{ base: "normal", md: "nowrap" }} height="auto" py="2px">
      <span aria-hidden="true">{SIGNS[status] ?? "·"}</span> {words[status] ?? spoken(status)}
    </Badge>
  );
}

export function Notice({ title, children, status = "info" }: { title?: string; children?: ReactNode; status?: "info" | "warning" | "error" }) {
  return (
    <Alert.Root status={status} variant="surface" my={2} color="fg">
      <Alert.Indicator aria-hidden="true" />
      <Alert.Content>
        {title && <Alert.Title>{title}</Alert.Title>}
        <Alert.Description color="fg">{children}</Alert.Description>
      </Alert.Content>
    </Alert.Root>
  );
}

// What stands there before the first answer: as high as what comes, so that nothing jumps.
export function Loading({ error }: { error?: string }) {
  if (error) return <Page><Notice status="error" title="This cannot be shown">{error}</Notice></Page>;
  return (
    <Page>
      <Stack gap={3} role="status" aria-label="Looking up what happened">
        <Skeleton height="28px" width="280px" /><Skeleton height="64px" /><Skeleton height="200px" /><Skeleton height="300px" />
      </Stack>
    </Page>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <EmptyState.Root size="sm" borderWidth="1px" borderRadius="md">
      <EmptyState.Content>
        <EmptyState.Title fontSize="md">{title}</EmptyState.Title>
        <EmptyState.Description color="fg.muted">{children}</EmptyState.Description>
      </EmptyState.Content>
    </EmptyState.Root>
  );
}

// The root of each of our pages.
export function Page({ children }: { children: ReactNode }) {
  return <Box className="etl-view" p={{ base: 2, md: 4 }} maxW="1800px" fontSize="sm" color="fg">{children}</Box>;
}
