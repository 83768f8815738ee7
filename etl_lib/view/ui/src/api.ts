// What the JSON API of etl_lib/view/api.py answers (see answers.py), a hook that asks again while somebody looks, and acts.
import { useCallback, useEffect, useRef, useState } from "react";

export type Counts = Record<
  "read" | "inserted" | "updated" | "unchanged" | "deleted" | "rejected" | "duplicates" | "filtered", number | null
>;

export type Run = Counts & {
  run_id: string;
  environment: string;
  status: string;
  sentence: string;
  started_at: string;
  ended_at: string | null;
  duration_s: number | null;
  dry_run: boolean;
};

// run_id, status, started_at, read, duration_s
export type Recent = [string, string, string, number | null, number | null];
export type Taken = { by: string; at: string; text: string; until_at: string | null };

export type Client = {
  client_id: string;
  client: string;
  sis: string;
  owner: string;
  account_number: string;
  contacts: string[];
  timezone: string;
  schedule: string;
  next_run_at: string | null;
  broken: string;
  pause: string;
  expected: string;
  frozen: string;
  operators: string[];
};

export type Card = Client & Counts & {
  status: string;
  last_status: string | null;
  sentence: string;
  overdue: string;
  needs_somebody: boolean;
  paused: boolean;
  run_id: string | null;
  environment: string;
  started_at: string | null;
  ended_at: string | null;
  duration_s: number | null;
  usual_duration_s: number | null;
  last_success_at: string | null;
  stage: string | null;
  rows: number | null;
  rows_total: number | null;
  recent: Recent[];
  acknowledged: Taken | null;
  snoozed: Taken | null;
  note: Taken | null;
};

export type Words = Record<string, string>;
export type Board = { generated_at: string; day: string; environment: string; words: Words; total: number; clients: Card[] };
export type Need = { needs_somebody: number; total: number; statuses: Record<string, number>; words: Words };
export type Day = { day: string; inserted: number; updated: number; unchanged: number; deleted: number; rejected: number };
export type File = { name: string; size_bytes: number; sha256: string };

export type History = {
  client: Client;
  words: Words;
  may_act: boolean;
  paused: boolean;
  overdue: string;
  guide_url: string | null;
  runs: Run[];
  feeds: { feed: string; rows_read: number; delivered_on: string | null; received_at: string | null }[];
  deliveries: { delivery_seq: number; delivery_id: string; delivered_on: string; received_at: string; files: File[] }[];
  rejects: { run_id: string; started_at: string; code: string; meaning: string; rows: number }[];
  holds: Held[];
  acts: { kind: string; by: string; at: string; text: string; until_at: string | null; run_id: string | null }[];
};

export type Held = {
  hold_seq: number; run_id: string; status: string; opened_at: string; lapses_at: string; decided_at: string | null;
  decided_by: string | null; comment: string | null; reasons: { text: string }[];
};
export type Said = { meaning: string; next_step: string; owner: string; level: string; code: string };
export type Stage = {
  stage: string; status: string; started_at: string; ended_at: string | null; what: string; rows: number; rows_total: number | null;
};
export type FillCounts = { feed: string; entity: string } & Record<string, number | string>;
export type Rejects = Said & { file: string; column: string | null; rows: number; lines: number[] };
export type Report = {
  words: Words;
  client: string;
  may_act: boolean;
  deciders: string[];
  hold: Held | null;
  is_plan: boolean;
  run: Run & { delivered_on: string | null; received_at: string | null; files: File[] | null; usual_duration_s: number | null };
  stages: Stage[];
  counts: FillCounts[];
  messages: (Said & { at: string; stage: string; text: string; place: string })[];
  rejects: Rejects[];
  changed_columns: { entity: string; column: string; rows: number }[];
  samples: { entity: string; action: string; key: string; columns: string[] }[];
};

export type Fate = {
  entity: string; outcome: string; feed: string; file: string; line: number | null; columns: string[]; code: string; by_absence: boolean;
};
export type Trace = {
  sentence: string;
  standing: { entity: string; state: string; last_changed_at: string; delivered_on: string; file: string; line: number }[];
  runs: { run_id: string; started_at: string; status: string; delivered_on: string | null; fates: Fate[]; looked: boolean; unreadable: number }[];
  similar: number;
};

const BASE = "/integrations/api";
export const API_DOCS = `${BASE}/docs`;
export const clientPath = (clientId: string) => `/clients/${encodeURIComponent(clientId)}`;
export const runPath = (clientId: string, runId: string) => `${clientPath(clientId)}/run?run_id=${encodeURIComponent(runId)}`;
export const rejectedUrl = (clientId: string, runId: string) =>
  `${BASE}${clientPath(clientId)}/run/rejected.csv?run_id=${encodeURIComponent(runId)}`;

const REFUSED: Record<number, string> = {
  401: "You are no longer signed in. Reload the page.",
  403: "You may not do this. Ask an administrator of Airflow.",
  404: "There is nothing recorded here yet.",
  503: "The ETL database does not answer. On-call has to look; the page tries again by itself.",
};

export async function call<T>(path: string, body?: object): Promise<T> {
  const wish: RequestInit = { credentials: "same-origin" };
  if (body) Object.assign(wish, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const response = await fetch(BASE + path, wish);
  if (response.status === 409) throw new Error(await response.text());
  if (!response.ok) throw new Error(REFUSED[response.status] ?? `The server answered ${response.status}.`);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export type Answer<T> = { data?: T; error?: string; again: () => void };

// Asks every `everyMs` while the page is in sight; keeps the last answer when one fails.
export function useApi<T>(path: string, everyMs: number): Answer<T> {
  const [answer, setAnswer] = useState<{ data?: T; error?: string }>({});
  const asking = useRef<() => void>(() => undefined);
  useEffect(() => {
    let stopped = false;
    let timer = 0;
    const ask = async () => {
      window.clearTimeout(timer);
      if (!document.hidden) {
        try {
          const data = await call<T>(path);
          if (!stopped) setAnswer({ data });
        } catch (error) {
          const text = error instanceof Error ? error.message : String(error);
          if (!stopped) setAnswer((last) => ({ ...last, error: text }));
        }
      }
      if (!stopped) timer = window.setTimeout(ask, everyMs);
    };
    const shown = () => { if (!document.hidden) void ask(); };
    asking.current = () => void ask();
    document.addEventListener("visibilitychange", shown);
    void ask();
    return () => {
      stopped = true;
      window.clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [path, everyMs]);
  return { ...answer, again: useCallback(() => asking.current(), []) };
}
