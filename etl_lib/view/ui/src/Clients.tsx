// The list of all integrations: which need somebody, and what became of each school's files.
import { useEffect, useMemo, useRef } from "react";
import { Box, Button, Flex, Heading, HStack, Input, Link as ChakraLink, NativeSelect, Progress, SimpleGrid, Table, Text, useMediaQuery } from "@chakra-ui/react";
import {
  createColumnHelper, flexRender, getCoreRowModel, getSortedRowModel, useReactTable,
} from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { API_DOCS, type Board, type Card, type Day, useApi } from "./api";
import { RecordsChart } from "./Chart";
import { Link, clientPage, runPage, useQuery } from "./host";
import { BAD, Empty, Loading, Page, SIGNS, Status, When, count, duration, palette, seconds, spoken } from "./words";

const LIVE_MS = 3000;
const TILES = [
  "failed", "not_received", "stale", "awaiting_approval", "refused", "late", "succeeded_with_rejects", "succeeded", "nothing_new", "running",
  "waiting", "superseded", "undone", "not_expected", "not_due",
];
const ALWAYS = new Set(["failed", "not_received", "awaiting_approval", "succeeded_with_rejects", "succeeded", "nothing_new", "running", "not_due"]);
const NEEDING = "needs_somebody";
const ROW_PX = 57;
const column = createColumnHelper<Card>();

function Sparks({ card }: { card: Card }) {
  const most = Math.max(1, ...card.recent.map((run) => run[3] ?? 0));
  const bad = card.recent.filter((run) => BAD.has(run[1])).length;
  return (
    <HStack gap="2px" align="flex-end" height="28px" role="img" aria-label={`The last ${card.recent.length} runs, ${bad} of them without a load`}>
      {card.recent.map(([id, status, at, read]) => (
        <Box key={id} width="6px" borderRadius="1px" colorPalette={palette(status)} borderWidth={BAD.has(status) ? "2px" : 0} borderColor="colorPalette.solid"
          bg={BAD.has(status) ? "transparent" : "colorPalette.solid"} height={`${BAD.has(status) ? 40 : 20 + (80 * (read ?? 0)) / most}%`}
          title={`${at.slice(0, 10)}: ${spoken(status)}, ${count(read)} records`} />
      ))}
    </HStack>
  );
}

function Happened({ card }: { card: Card }) {
  if (card.status !== "running" || card.ended_at) return <>{card.sentence || (card.run_id ? "Still at work" : "Has not run yet")}</>;
  return (
    <>
      {card.stage ?? "Starting"}{card.rows ? `: ${count(card.rows)}${card.rows_total ? ` of ${count(card.rows_total)}` : ""} rows` : ""}
      {card.rows_total ? (
        <Progress.Root value={Math.min(100, (100 * (card.rows ?? 0)) / card.rows_total)} size="xs" aria-label="Rows so far">
          <Progress.Track><Progress.Range /></Progress.Track>
        </Progress.Root>
      ) : null}
    </>
  );
}

const OVERDUE = new Set(["late", "stale"]);

function Told({ card }: { card: Card }) {
  if (card.acknowledged) return <Text fontSize="xs">{card.acknowledged.by} is on it, <When at={card.acknowledged.at} />. {card.acknowledged.text}</Text>;
  if (card.snoozed) return <Text fontSize="xs">Snoozed by {card.snoozed.by}; wakes <When at={card.snoozed.until_at} />. {card.snoozed.text}</Text>;
  return card.note ? <Text fontSize="xs" color="fg.muted">{card.note.by}: {card.note.text}</Text> : null;
}

function Said({ card }: { card: Card }) {
  return (
    <>
      {card.run_id ? <Link to={runPage(card.client_id, card.run_id)}><Happened card={card} /></Link> : <Happened card={card} />}
      {card.overdue && !OVERDUE.has(card.status) && <Text fontSize="xs">{card.overdue}</Text>}
      <Told card={card} />
    </>
  );
}

type Meta = { numeric?: boolean; width: number };
const number = (id: keyof Card & string, header: string, width = 64) =>
  column.accessor((card) => (card[id] as number | null) ?? undefined, {
    id, header, sortUndefined: "last", cell: (cell) => count(cell.getValue()), meta: { numeric: true, width } satisfies Meta,
  });

const columnsFor = (words: Board["words"], narrow: boolean) => [
  column.accessor("status", { header: "Status", cell: (cell) => <Status status={cell.getValue()} words={words} />, meta: { width: 156 } satisfies Meta,
    sortingFn: (a, b) => TILES.indexOf(a.original.status) - TILES.indexOf(b.original.status) || a.original.client.localeCompare(b.original.client) }),
  column.accessor("client", { header: "School", meta: { width: 168 } satisfies Meta, cell: ({ row: { original: card } }) => (
    <>
      <Link to={clientPage(card.client_id)}>{card.client}</Link>
      <Text fontSize="xs" color="fg.muted">{card.sis}{card.paused ? ", paused" : ""}{card.frozen && <Text as="span" fontWeight="semibold" color="fg" title={card.frozen}>, frozen</Text>}</Text>
      {narrow && <Said card={card} />}
    </>
  ) }),
  column.accessor("sentence", { header: "What happened", meta: { width: 208 } satisfies Meta, cell: ({ row }) => <Said card={row.original} /> }),
  column.accessor((card) => card.last_success_at ?? undefined, { id: "last_success_at", header: "Last success", sortUndefined: "last",
    meta: { width: 84 } satisfies Meta, cell: (cell) => <When at={cell.getValue()} /> }),
  number("read", "Records", 74), number("inserted", "Inserted"), number("updated", "Updated"), number("deleted", "Deleted"), number("rejected", "Rejected"),
  column.accessor((card) => card.duration_s ?? undefined, { id: "duration_s", header: "Took", sortUndefined: "last", meta: { numeric: true, width: 88 } satisfies Meta,
    cell: ({ row: { original: card } }) => (
      <>
        {duration(card.duration_s ?? (card.started_at && !card.ended_at ? seconds(card.started_at, null) : null))}
        <Text fontSize="xs" color="fg.muted">{card.usual_duration_s === null ? "" : `usually ${duration(card.usual_duration_s)}`}</Text>
      </>
    ) }),
  column.display({ id: "recent", header: () => <Text fontSize="xs" fontWeight="semibold">Last 14 runs</Text>, meta: { width: 108 } satisfies Meta, cell: ({ row }) => <Sparks card={row.original} /> }),
  column.accessor("owner", { header: "Owner", meta: { width: 88 } satisfies Meta }),
  column.accessor((card) => card.next_run_at ?? undefined, { id: "next_run_at", header: "Next run", sortUndefined: "last", meta: { width: 76 } satisfies Meta,
    cell: ({ row: { original: card } }) => card.paused ? "paused" : card.next_run_at ? <When at={card.next_run_at} /> : "by hand" }),
];
const metaOf = (of: { columnDef: { meta?: unknown } }) => of.columnDef.meta as Meta;

const CSV: (keyof Card & string)[] = [
  "client_id", "client", "account_number", "sis", "owner", "environment", "status", "sentence", "started_at", "read", "inserted", "updated",
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

function Tiles({ board, chosen, choose }: { board: Board; chosen: string; choose: (status: string) => void }) {
  return (
    <SimpleGrid minChildWidth="102px" gap={2} my={3} role="group" aria-label="Filter by status">
      {TILES.map((name) => {
        const found = board.clients.filter((card) => card.status === name).length;
        if (!found && !ALWAYS.has(name)) return null;
        return (
          <Button key={name} variant="outline" height="auto" py={2} px={3} aria-pressed={chosen === name} colorPalette={palette(name)} borderLeftWidth="4px"
            borderLeftColor="colorPalette.solid" justifyContent="flex-start" hideBelow={found || chosen === name ? undefined : "md"}
            outline={chosen === name ? "2px solid" : undefined} outlineColor="colorPalette.solid" whiteSpace="normal" textAlign="start"
            onClick={() => choose(chosen === name ? "" : name)}>
            <Box>
              <Text as="span" display="block" fontSize="xl" fontWeight="bold" fontVariantNumeric="tabular-nums" color="fg">{count(found)}</Text>
              <Text as="span" fontWeight="normal" color="fg"><span aria-hidden="true">{SIGNS[name]}</span> {board.words[name]}</Text>
            </Box>
          </Button>
        );
      })}
    </SimpleGrid>
  );
}

// Arrow keys go from school to school, `/` to the search.
function useKeys(search: React.RefObject<HTMLInputElement | null>, table: React.RefObject<HTMLDivElement | null>) {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const inField = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement || event.target instanceof HTMLTextAreaElement;
      if (event.key === "/" && !inField) {
        event.preventDefault();
        search.current?.focus();
      }
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      const row = (event.target as HTMLElement).closest?.("tr[data-client]");
      const fromSearch = event.target === search.current && event.key === "ArrowDown";
      if (!row && !fromSearch) return;
      let next = fromSearch ? table.current?.querySelector("tr[data-client]") : row;
      if (row) do next = event.key === "ArrowDown" ? next?.nextElementSibling : next?.previousElementSibling; while (next && !next.matches("[data-client]"));
      event.preventDefault();
      next?.querySelector("a")?.focus();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [search, table]);
}

// A phone shows what a phone call needs.
const NARROW: Record<string, number> = { status: 112 };
const EVERY = {};
const PHONE = Object.fromEntries(
  ["sentence", "last_success_at", "read", "inserted", "updated", "deleted", "rejected", "duration_s", "recent", "owner", "next_run_at"].map((id) => [id, false]),
);
const CHOICES = [["owner", "Owner", "Every owner"], ["sis", "System", "Every system"], ["environment", "Environment", "Every environment"]] as const;

export function Clients() {
  const [query, set] = useQuery();
  const day = query.get("day");
  const { data: board, error } = useApi<Board>(`/clients${day ? `?day=${day}` : ""}`, LIVE_MS);
  const { data: chart } = useApi<{ days: Day[] }>("/days", 60_000);
  const searchBox = useRef<HTMLInputElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  useKeys(searchBox, scroller);
  const search = (query.get("search") ?? "").toLowerCase();
  const status = query.get("status") ?? "";
  const [owner, sis, environment] = CHOICES.map(([name]) => query.get(name) ?? "");
  const shown = useMemo(
    () => (board?.clients ?? []).filter((card) =>
      (!status || (status === NEEDING ? card.needs_somebody : card.status === status)) && (!owner || card.owner === owner) && (!sis || card.sis === sis) &&
      (!environment || card.environment === environment) &&
      (!search || `${card.client} ${card.client_id} ${card.account_number}`.toLowerCase().includes(search))),
    [board, status, owner, sis, environment, search],
  );
  const [sortBy, direction] = (query.get("sort") ?? "status").split(":");
  // the same array as long as it means the same: a new one at each drawing would never let the table rest
  const sorting = useMemo(() => [{ id: sortBy ?? "status", desc: direction === "desc" }], [sortBy, direction]);
  const [narrow] = useMediaQuery(["(max-width: 700px)"]);
  const words = board?.words;
  const columns = useMemo(() => columnsFor(words ?? {}, narrow ?? false), [words === undefined, narrow]);
  const table = useReactTable({
    data: shown, columns,
    state: { sorting, columnVisibility: narrow ? PHONE : EVERY },
    autoResetPageIndex: false,
    onSortingChange: (change) => {
      const next = typeof change === "function" ? change(sorting) : change;
      set("sort", next[0] ? `${next[0].id}${next[0].desc ? ":desc" : ""}` : "");
    },
    getCoreRowModel: getCoreRowModel(), getSortedRowModel: getSortedRowModel(),
    getRowId: (card) => card.client_id,
  });
  const rows = table.getRowModel().rows;
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => scroller.current, estimateSize: () => ROW_PX, overscan: 12 });
  const items = virtual.getVirtualItems();
  const first = items[0], last = items[items.length - 1];

  if (!board) return <Loading error={error} />;
  const cards = board.clients;
  const need = cards.filter((card) => card.needs_somebody).length;
  const values = (name: "owner" | "sis" | "environment") => [...new Set(cards.map((card) => card[name]))].filter(Boolean).sort();
  return (
    <Page>
      <Flex gap={3} align="baseline" wrap="wrap">
        <Heading as="h1" size="lg">Integrations</Heading>
        <Text>
          {need ? <ChakraLink as="button" color="fg" fontWeight="semibold" textDecoration="underline" onClick={() => set("status", status === NEEDING ? "" : NEEDING)}>
            {count(need)} of {count(cards.length)} need somebody</ChakraLink> : `Nobody is needed: ${count(cards.length)} integrations.`}
        </Text>
        <Text color="fg.muted">{board.environment}, {board.day}</Text>
        {error && <Text role="alert" color="fg.error">{error}</Text>}
      </Flex>
      <Tiles board={board} chosen={status} choose={(name) => set("status", name)} />
      <Box hideBelow="md"><RecordsChart data={chart?.days ?? []} by="day" label="Records of each of the last 30 days" /></Box>
      <HStack gap={2} my={3} wrap="wrap">
        <Input ref={searchBox} type="search" size="sm" width={{ base: "100%", md: "300px" }} aria-label="Search schools" aria-keyshortcuts="/"
          placeholder="School, id or account number  ( / )" value={query.get("search") ?? ""} onChange={(event) => set("search", event.target.value)} />
        <Input type="date" size="sm" width={{ base: "calc(50% - 4px)", md: "150px" }} aria-label="Day" value={day ?? board.day} max={new Date().toISOString().slice(0, 10)}
          onChange={(event) => set("day", event.target.value)} />
        {CHOICES.map(([name, label, every]) => (
          <NativeSelect.Root key={name} size="sm" width={{ base: "calc(50% - 4px)", md: "170px" }}>
            <NativeSelect.Field aria-label={label} value={query.get(name) ?? ""} onChange={(event) => set(name, event.target.value)}>
              <option value="">{every}</option>
              {values(name).map((value) => <option key={value}>{value}</option>)}
            </NativeSelect.Field>
            <NativeSelect.Indicator />
          </NativeSelect.Root>
        ))}
        <ChakraLink download={`integrations_${board.day}.csv`} color="fg" textDecoration="underline"
          href={`data:text/csv;charset=utf-8,${encodeURIComponent(csvOf(rows.map((row) => row.original)))}`}>Download CSV</ChakraLink>
        <ChakraLink href={API_DOCS} target="_blank" color="fg" textDecoration="underline">API</ChakraLink>
        <Text color="fg.muted" role="status">{count(rows.length)} shown</Text>
      </HStack>
      {rows.length === 0 ? <Empty title="No integration fits">Take a filter off.</Empty> : (
        <Table.ScrollArea ref={scroller} borderWidth="1px" borderRadius="md" maxH="68vh" tabIndex={0} role="region" aria-label="Integrations">
          <Table.Root size="sm" stickyHeader tableLayout="fixed" minW={narrow ? undefined : "1290px"}>
            <colgroup>{table.getVisibleLeafColumns().map((one) => <col key={one.id} style={{ width: narrow ? NARROW[one.id] : metaOf(one).width }} />)}</colgroup>
            <Table.Header>
              {table.getHeaderGroups().map((group) => (
                <Table.Row key={group.id} bg="bg.subtle">
                  {group.headers.map((header) => {
                    const sorted = header.column.getIsSorted();
                    return (
                      <Table.ColumnHeader key={header.id} px={2} textAlign={metaOf(header.column).numeric ? "end" : "start"} whiteSpace="nowrap"
                        aria-sort={sorted === "asc" ? "ascending" : sorted === "desc" ? "descending" : undefined}>
                        {header.column.getCanSort() ? (
                          <Button variant="plain" size="xs" px={0} fontWeight="semibold" color="fg" onClick={header.column.getToggleSortingHandler()}>
                            {flexRender(header.column.columnDef.header, header.getContext())}
                            {sorted === "asc" ? " ▲" : sorted === "desc" ? " ▼" : ""}
                          </Button>
                        ) : flexRender(header.column.columnDef.header, header.getContext())}
                      </Table.ColumnHeader>
                    );
                  })}
                </Table.Row>
              ))}
            </Table.Header>
            <Table.Body>
              {first && first.start > 0 && <tr aria-hidden="true" style={{ height: first.start }} />}
              {items.map((item) => {
                const row = rows[item.index]!;
                return (
                  <Table.Row key={row.id} ref={virtual.measureElement} data-index={item.index} data-client={row.id}>
                    {row.getVisibleCells().map((cell) => (
                      <Table.Cell key={cell.id} verticalAlign="top" overflow="hidden" whiteSpace="normal" px={2} textAlign={metaOf(cell.column).numeric ? "end" : "start"}
                        fontVariantNumeric={metaOf(cell.column).numeric ? "tabular-nums" : undefined}>
                        {flexRender(cell.column.columnDef.cell, cell.getContext())}
                      </Table.Cell>
                    ))}
                  </Table.Row>
                );
              })}
              {last && last.end < virtual.getTotalSize() && <tr aria-hidden="true" style={{ height: virtual.getTotalSize() - last.end }} />}
            </Table.Body>
          </Table.Root>
        </Table.ScrollArea>
      )}
    </Page>
  );
}
