// Numbers, times and statuses as people read them.
import type { ReactNode } from "react";
import type { Words } from "./api";

const NUMBER = new Intl.NumberFormat("en-US");
const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? "" : NUMBER.format(value);
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export function When({ at }: { at: string | null | undefined }) {
  if (!at) return <span className="iv-muted">never</span>;
  const instant = new Date(at);
  const seconds = (instant.getTime() - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, of]) => Math.abs(seconds) >= of) ?? ["second", 1];
  return (
    <time dateTime={at} title={WHEN.format(instant)}>
      {AGO.format(Math.round(seconds / size), unit)}
    </time>
  );
}

// The sign stands beside the word: colour is never the only one.
export const SIGNS: Record<string, string> = {
  succeeded: "✓", succeeded_with_rejects: "✎", nothing_new: "=", awaiting_approval: "?", not_received: "∅",
  failed: "✕", refused: "✕", running: "▶", waiting: "…", superseded: "»", undone: "↶", not_due: "–",
};
export const NEEDS_SOMEBODY = new Set(["failed", "not_received", "awaiting_approval", "refused"]);

export function tone(status: string): string {
  if (status === "succeeded" || status === "nothing_new") return "good";
  if (status === "succeeded_with_rejects" || status === "awaiting_approval") return "warn";
  if (NEEDS_SOMEBODY.has(status)) return "bad";
  return status === "running" || status === "waiting" ? "live" : "calm";
}

export function Status({ status, words }: { status: string; words: Words }) {
  return (
    <span className={`iv-status iv-${tone(status)}`}>
      <span aria-hidden="true">{SIGNS[status] ?? "·"}</span> {words[status] ?? status}
    </span>
  );
}

export function Notice({ children }: { children: ReactNode }) {
  return <p className="iv-notice" role="status">{children}</p>;
}
