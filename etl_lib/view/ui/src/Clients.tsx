// The list of all integrations: which need somebody, and what became of each school's files.
import { useMemo, useRef } from "react";
import {
  createColumnHelper, flexRender, getCoreRowModel, getSortedRowModel, useReactTable,
} from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type Board, type Card, type Day, useApi } from "./api";
import { RecordsChart } from "./Chart";
import { Link, clientPage, runPage, useQuery } from "./host";
import { NEEDS_SOMEBODY, Notice, SIGNS, Status, When, count, duration, tone } from "./words";

const LIVE_MS = 3000;
const TILES = [
  "failed", "not_received", "awaiting_approval", "succeeded_with_rejects", "succeeded", "nothing_new", "running", "waiting",
  "superseded", "not_due",
];
const column = createColumnHelper<Card>();

function Sparks({ card }: { card: Card }) {
  const most = Math.max(1, ...card.recent.map((run) => run.read ?? 0));
  return (
    <div className="iv-sparks" role="img" aria-label={`The last ${card.recent.length} runs`}>
      {card.recent.map((run) => (
        <span
          key={run.run_seq}
          className={`iv-spark iv-${tone(run.status)}`}
          style={{ height: `${20 + (80 * (run.read ?? 0)) / most}%` }}
          title={`${run.started_at.slice(0, 10)}: ${run.status.replaceAll("_", " ")}, ${count(run.read)} records`}
        />
      ))}
    </div>
  );
}

function Rows({ card }: { card: Card }) {
  if (card.status !== "running" || !card.rows_total) return <>{card.sentence}</>;
  return (
    <>
      {card.stage}: {count(card.rows)} of {count(card.rows_total)} rows
      <div className="iv-bar"><span style={{ width: `${(100 * (card.rows ?? 0)) / card.rows_total}%` }} /></div>
    </>
  );
}

const number = (id: keyof Card & string, header: string) =>
  column.accessor((card) => card[id] as number | null, {
    id, header, sortUndefined: "last", cell: (cell) => count(cell.getValue()), meta: { numeric: true },
  });

const columnsFor = (board: Board | undefined) => [
  column.accessor("status", { header: "Status", cell: (cell) => <Status status={cell.getValue()} words={board?.words ?? {}} />,
    sortingFn: (a, b) => TILES.indexOf(a.original.status) - TILES.indexOf(b.original.status) }),
  column.accessor("client", { header: "School", cell: ({ row: { original: card } }) => (
    <>
      <Link to={clientPage(card.client_id)}>{card.client}</Link>
      <div className="iv-muted">{card.sis}</div>
    </>
  ) }),
  column.accessor("sentence", { header: "What happened", cell: ({ row: { original: card } }) =>
    card.run_id ? <Link to={runPage(card.client_id, card.run_id)}><Rows card={card} /></Link> : <Rows card={card} /> }),
  column.accessor("last_success_at", { header: "Last success", cell: (cell) => <When at={cell.getValue()} /> }),
  number("read", "Records"), number("inserted", "Inserted"), number("updated", "Updated"), number("deleted", "Deleted"),
  number("rejected", "Rejected"),
  column.accessor("duration_s", { header: "Took", meta: { numeric: true }, cell: ({ row: { original: card } }) => (
    <>
      {duration(card.run_id ? card.duration_s : null)}
      <div className="iv-muted">{card.usual_duration_s === null ? "" : `usually ${duration(card.usual_duration_s)}`}</div>
    </>
  ) }),
  column.display({ id: "recent", header: "Last 14 runs", cell: ({ row }) => <Sparks card={row.original} /> }),
  column.accessor("owner", { header: "Owner" }),
  column.accessor("next_run_at", { header: "Next run", cell: (cell) => cell.getValue() ? <When at={cell.getValue()} /> : <span className="iv-muted">by hand</span> }),
];

const CSV: (keyof Card & string)[] = [
  "client_id", "client", "account_number", "sis", "owner", "status", "sentence", "started_at", "read", "inserted", "updated",
  "unchanged", "deleted", "rejected", "duration_s", "last_success_at", "next_run_at",
];
function csvOf(cards: Card[]): string {
  const cell = (value: unknown) => {
    const text = value === null || value === undefined ? "" : String(value);
    const inert = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return `"${inert.replaceAll('"', '""')}"`;
  };
  return [CSV.join(","), ...cards.map((card) => CSV.map((name) => cell(card[name])).join(","))].join("\r\n");
}

export function Clients() {
  const [query, set] = useQuery();
  const day = query.get("day");
  const { data: board, error } = useApi<Board>(`/clients${day ? `?day=${day}` : ""}`, LIVE_MS);
  const { data: chart } = useApi<{ days: Day[] }>("/days", 60_000);
  const search = (query.get("search") ?? "").toLowerCase();
  const status = query.get("status") ?? "";
  const owner = query.get("owner") ?? "";
  const sis = query.get("sis") ?? "";
  const cards = board?.clients ?? [];
  const shown = useMemo(
    () => (board?.clients ?? []).filter((card) =>
      (!status || card.status === status) && (!owner || card.owner === owner) && (!sis || card.sis === sis) &&
      (!search || `${card.client} ${card.client_id} ${card.account_number}`.toLowerCase().includes(search))),
    [board, status, owner, sis, search],
  );
  const [sortBy, direction] = (query.get("sort") ?? "status").split(":");
  // the same array as long as it means the same: a new one at each drawing would never let the table rest
  const sorting = useMemo(() => [{ id: sortBy ?? "status", desc: direction === "desc" }], [sortBy, direction]);
  const columns = useMemo(() => columnsFor(board), [board]);
  const table = useReactTable({
    data: shown, columns,
    state: { sorting },
    autoResetPageIndex: false,
    onSortingChange: (change) => {
      const next = typeof change === "function" ? change(sorting) : change;
      set("sort", next[0] ? `${next[0].id}${next[0].desc ? ":desc" : ""}` : "");
    },
    getCoreRowModel: getCoreRowModel(), getSortedRowModel: getSortedRowModel(),
    getRowId: (card) => card.client_id,
  });
  const rows = table.getRowModel().rows;
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => scroller.current, estimateSize: () => 58, overscan: 12 });
  const items = virtual.getVirtualItems();
  const first = items[0], last = items[items.length - 1];

  if (!board) return <div className="iv"><Notice>{error ?? "Looking up what happened…"}</Notice></div>;
  const need = cards.filter((card) => NEEDS_SOMEBODY.has(card.status)).length;
  const values = (name: "owner" | "sis") => [...new Set(cards.map((card) => card[name]))].filter(Boolean).sort();
  return (
    <div className="iv">
      <h1>Integrations</h1>
      <div className="iv-muted">
        {need ? `${count(need)} of ${count(cards.length)} need somebody.` : `Nobody is needed: ${count(cards.length)} integrations.`}{" "}
        {board.environment}, {board.day}. {error}
      </div>
      <div className="iv-tiles" role="group" aria-label="Filter by status">
        {TILES.map((name) => {
          const found = cards.filter((card) => card.status === name).length;
          return (
            <button key={name} type="button" className={`iv-tile iv-${tone(name)}`} aria-pressed={status === name} data-none={found ? undefined : ""}
              onClick={() => set("status", status === name ? "" : name)}>
              <b>{count(found)}</b>
              <span aria-hidden="true">{SIGNS[name]}</span> {board.words[name]}
            </button>
          );
        })}
      </div>
      {chart && chart.days.length > 0 && <RecordsChart data={chart.days} by="day" />}
      <div className="iv-tools">
        <input type="search" aria-label="Search schools" placeholder="School, id or account number" value={query.get("search") ?? ""}
          onChange={(event) => set("search", event.target.value)} />
        <input type="date" aria-label="Day" value={day ?? board.day} onChange={(event) => set("day", event.target.value)} />
        {(["owner", "sis"] as const).map((name) => (
          <select key={name} aria-label={name === "sis" ? "System" : "Owner"} value={query.get(name) ?? ""} onChange={(event) => set(name, event.target.value)}>
            <option value="">{name === "sis" ? "Every system" : "Every owner"}</option>
            {values(name).map((value) => <option key={value}>{value}</option>)}
          </select>
        ))}
        <a download={`integrations_${board.day}.csv`} href={`data:text/csv;charset=utf-8,${encodeURIComponent(csvOf(rows.map((row) => row.original)))}`}>
          Download CSV
        </a>
        <span className="iv-muted">{count(rows.length)} shown</span>
      </div>
      {rows.length === 0 ? <Notice>No integration fits. Take a filter off.</Notice> : (
        <div className="iv-scroll" ref={scroller} tabIndex={0} aria-label="Integrations">
          <table>
            <thead>
              {table.getHeaderGroups().map((group) => (
                <tr key={group.id}>
                  {group.headers.map((header) => {
                    const sorted = header.column.getIsSorted();
                    return (
                      <th key={header.id} className={(header.column.columnDef.meta as { numeric?: boolean })?.numeric ? "iv-number" : ""}
                        aria-sort={sorted === "asc" ? "ascending" : sorted === "desc" ? "descending" : "none"}>
                        {header.column.getCanSort() ? (
                          <button type="button" onClick={header.column.getToggleSortingHandler()}>
                            {flexRender(header.column.columnDef.header, header.getContext())}
                            {sorted === "asc" ? " ▲" : sorted === "desc" ? " ▼" : ""}
                          </button>
                        ) : flexRender(header.column.columnDef.header, header.getContext())}
                      </th>
                    );
                  })}
                </tr>
              ))}
            </thead>
            <tbody>
              {first && first.start > 0 && <tr style={{ height: first.start }} />}
              {items.map((item) => {
                const row = rows[item.index]!;
                return (
                  <tr key={row.id} ref={virtual.measureElement} data-index={item.index} data-client={row.id}>
                    {row.getVisibleCells().map((cell) => (
                      <td key={cell.id} className={(cell.column.columnDef.meta as { numeric?: boolean })?.numeric ? "iv-number" : ""}>
                        {flexRender(cell.column.columnDef.cell, cell.getContext())}
                      </td>
                    ))}
                  </tr>
                );
              })}
              {last && last.end < virtual.getTotalSize() && <tr style={{ height: virtual.getTotalSize() - last.end }} />}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}
