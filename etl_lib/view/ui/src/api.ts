// What the JSON API of etl_lib/view/api.py answers, and a hook that asks again while somebody looks.
import { useEffect, useState } from "react";

export type Counts = {
  read: number | null;
  inserted: number | null;
  updated: number | null;
  unchanged: number | null;
  deleted: number | null;
  rejected: number | null;
  duplicates: number | null;
  filtered: number | null;
};

export type Run = Counts & {
  run_seq: number;
  run_id: string;
  status: string;
  sentence: string;
  started_at: string;
  ended_at: string | null;
  duration_s: number;
};

export type Recent = { run_seq: number; status: string; started_at: string; read: number | null; duration_s: number | null };

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
};

export type Card = Client &
  Omit<Run, "started_at"> & {
    started_at: string | null;
    last_status: string | null;
    last_success_at: string | null;
    usual_duration_s: number | null;
    stage: string | null;
    rows: number | null;
    rows_total: number | null;
    recent: Recent[];
  };

export type Words = Record<string, string>;
export type Board = { generated_at: string; day: string; environment: string; words: Words; clients: Card[] };
export type Day = { day: string; inserted: number; updated: number; unchanged: number; deleted: number; rejected: number };

export type History = {
  client: Client;
  words: Words;
  runs: Run[];
  feeds: { feed: string; rows_read: number; delivered_on: string | null; received_at: string | null }[];
  deliveries: {
    delivery_seq: number;
    delivery_id: string;
    delivered_on: string;
    received_at: string;
    files: { name: string; size_bytes: number; sha256: string }[];
  }[];
  rejects: { day: string; code: string; rows: number }[];
  holds: { hold_seq: number; opened_at: string; reasons: { text: string }[] }[];
};

export type Said = { meaning: string; next_step: string; owner: string; level: string; code: string };
export type Report = {
  words: Words;
  run: Run & { delivered_on: string | null };
  stages: { stage: string; status: string; started_at: string; ended_at: string | null; what: string; rows: number; rows_total: number | null }[];
  counts: ({ feed: string; entity: string; deleted_by_row: number; deleted_by_absence: number; restored: number; unresolved: number } & Record<string, number | string>)[];
  messages: (Said & { at: string; stage: string; text: string; place: string })[];
  rejects: (Said & { file: string; column: string | null; rows: number; lines: number[] })[];
};

export type Answer<T> = { data?: T; error?: string };

const BASE = "/integrations/api";

// Asks every `everyMs` while the page is in sight; keeps the last answer when one fails.
export function useApi<T>(path: string, everyMs: number): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T>>({});
  useEffect(() => {
    let stopped = false;
    let timer = 0;
    const ask = async () => {
      if (!document.hidden) {
        try {
          const response = await fetch(BASE + path, { credentials: "same-origin" });
          if (!response.ok) throw new Error(REFUSED[response.status] ?? `The server answered ${response.status}.`);
          const data = (await response.json()) as T;
          if (!stopped) setAnswer({ data });
        } catch (error) {
          const text = error instanceof Error ? error.message : String(error);
          if (!stopped) setAnswer((last) => ({ ...last, error: text }));
        }
      }
      if (!stopped) timer = window.setTimeout(ask, everyMs);
    };
    void ask();
    return () => {
      stopped = true;
      window.clearTimeout(timer);
    };
  }, [path, everyMs]);
  return answer;
}

const REFUSED: Record<number, string> = {
  401: "You are no longer signed in. Reload the page.",
  403: "You may not read this client. Ask an administrator of Airflow.",
  404: "There is nothing recorded here yet.",
  503: "The ETL database does not answer. On-call has to look; the page tries again by itself.",
};
