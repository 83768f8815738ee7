// One client: its runs, how fresh each feed is, the files that came, rejects by reason, who is responsible, who did what.
import { useState } from "react";
import { Badge, Box, Button, Heading, HStack, Link as ChakraLink, Text } from "@chakra-ui/react";
import { type History, type Run, call, clientPath, useApi } from "./api";
import { Acts } from "./Acts";
import { RecordsChart, RejectsChart } from "./Chart";
import { Facts, Section } from "./Facts";
import { Hold } from "./Hold";
import { LIST, Link, runPage } from "./host";
import { TraceOne } from "./Trace";
import { Empty, Loading, Notice, Page, Status, When, count, duration, seconds, size, spoken } from "./words";

const LIVE_MS = 3000;
const stamp = (at: string) => at.slice(0, 16).replace("T", " ");

const REASONS = 7;

// The commonest reasons, and the rest together.
function rejectsByRun(rejects: History["rejects"]) {
  const sums = new Map<string, number>();
  for (const { code, rows } of rejects) sums.set(code, (sums.get(code) ?? 0) + rows);
  const common = [...sums].sort((a, b) => b[1] - a[1]).slice(0, REASONS).map(([code]) => code);
  const runs = new Map<string, Record<string, string | number>>();
  for (const { run_id, started_at, code, rows } of rejects) {
    const run = runs.get(run_id) ?? { at: stamp(started_at) };
    const reason = common.includes(code) ? code : "other reasons";
    run[reason] = Number(run[reason] ?? 0) + rows;
    runs.set(run_id, run);
  }
  return { data: [...runs.values()], codes: sums.size > REASONS ? [...common, "other reasons"] : common };
}

export function Integration({ dagId = "" }: { dagId?: string }) {
  const { data, error, again } = useApi<History>(clientPath(dagId), LIVE_MS);
  const [older, setOlder] = useState<Run[]>([]);
  const [more, setMore] = useState(true);
  if (!data) return <Loading error={error} />;
  const { client, words } = data;
  const runs = [...data.runs, ...older.filter((run) => !data.runs.some((one) => one.run_id === run.run_id))];
  const newest = runs.find((run) => !run.dry_run) ?? runs[0]; // a look, or a school's test, says nothing of the data
  const showOlder = async () => {
    const before = runs[runs.length - 1]?.started_at ?? "";
    const page = await call<{ runs: Run[]; next_before: string | null }>(`${clientPath(dagId)}/runs?before=${encodeURIComponent(before)}`);
    setOlder([...older, ...page.runs]);
    setMore(page.next_before !== null);
  };
  const charted = runs.filter((run) => !run.dry_run).slice(0, 60).reverse().map((run) => ({ ...run, at: stamp(run.started_at) }));
  const rejects = rejectsByRun(data.rejects);
  return (
    <Page>
      <HStack gap={3} wrap="wrap">
        <Heading as="h1" size="lg">{client.client}</Heading>
        {newest && <Status status={newest.dry_run ? "dry_run" : newest.status} words={words} size="lg" />}
        {data.paused && <Badge colorPalette="orange" color="fg">paused in Airflow</Badge>}
      </HStack>
      {newest?.sentence && <Text fontSize="md" my={1}>{newest.sentence}</Text>}
      <Text color="fg.muted">
        {client.sis && `${client.sis}. `}{client.owner && `Responsible: ${client.owner}. `}
        {client.account_number && `Account ${client.account_number}. `}
        {client.contacts.length > 0 && <>Contacts: {client.contacts.map((mail, index) => (
          <span key={mail}>{index > 0 && ", "}<ChakraLink href={`mailto:${mail}`} color="fg" textDecoration="underline">{mail}</ChakraLink></span>
        ))}. </>}
        {client.next_run_at && !data.paused ? <>Next run <When at={client.next_run_at} /> ({client.timezone}). </> : "Runs by hand. "}
        {client.expected && `${client.expected} `}
        {data.guide_url && <><ChakraLink href={data.guide_url} target="_blank" color="fg" textDecoration="underline">Guide for the school</ChakraLink>. </>}
        <Link to={LIST}>All integrations</Link> {error}
      </Text>
      {client.broken && <Notice status="error" title="The mapping has a mistake; a data engineer corrects it.">{client.broken}</Notice>}
      {data.overdue && <Notice status="warning" title="A delivery is missing">{data.overdue}</Notice>}
      {client.frozen && <Notice status="warning" title="Frozen by a person">{client.frozen}</Notice>}
      {client.pause && <Notice status="info" title="Paused by the mapping">{client.pause}</Notice>}
      {data.holds.map((hold) => (
        <Hold key={hold.hold_seq} clientId={client.client_id} hold={hold} mayAct={data.may_act} deciders={client.operators} done={again}>
          <Link to={runPage(client.client_id, hold.run_id)}>What would change</Link>
        </Hold>
      ))}
      <Acts clientId={client.client_id} mayAct={data.may_act} paused={data.paused} done={again} />
      <TraceOne clientId={client.client_id} words={words} />
      <Section title="Runs">
        {runs.length === 0 ? <Empty title="This integration has not run yet.">It runs by its schedule, or when somebody presses Check now.</Empty> : (
          <>
            <RecordsChart data={charted} by="at" timed label="Records and time taken of each run" />
            <Box mt={2} />
            <Facts label="Runs" rows={runs} rowKey={(run) => run.run_id} columns={[
              { header: "When", cell: (run) => <When at={run.started_at} /> },
              { header: "Status", cell: (run) => <Status status={run.dry_run ? "dry_run" : run.status} words={words} /> },
              { header: "What happened", cell: (run) => <Link to={runPage(client.client_id, run.run_id)}>{run.sentence || "Still at work"}</Link> },
              ...(["read", "inserted", "updated", "unchanged", "deleted", "rejected"] as const).map((part) => (
                { header: part === "read" ? "Records" : part.charAt(0).toUpperCase() + part.slice(1), numeric: true, cell: (run: Run) => count(run[part]) })),
              { header: "Took", numeric: true, cell: (run) => duration(run.duration_s ?? seconds(run.started_at, null)) },
            ]} />
            {more && runs.length >= 60 && <Button size="sm" variant="outline" mt={2} onClick={() => void showOlder()}>Older runs</Button>}
          </>
        )}
      </Section>
      {rejects.codes.length > 0 && (
        <Section title="Rejected rows by reason">
          <RejectsChart {...rejects} />
        </Section>
      )}
      <Section title="How fresh each feed is">
        {data.feeds.length === 0 ? <Empty title="Nothing has been loaded yet." /> : (
          <Facts label="Feeds" rows={data.feeds} rowKey={(feed) => feed.feed} columns={[
            { header: "Feed", cell: (feed) => spoken(feed.feed) },
            { header: "Delivery of", cell: (feed) => feed.delivered_on },
            { header: "Received", cell: (feed) => <When at={feed.received_at} /> },
            { header: "Rows", numeric: true, cell: (feed) => count(feed.rows_read) },
          ]} />
        )}
      </Section>
      <Section title="Files that came">
        {data.deliveries.length === 0 ? <Empty title="No files have come yet." /> : (
          <Facts label="Files" rows={data.deliveries.flatMap((delivery) => delivery.files.map((file) => ({ ...delivery, ...file })))}
            rowKey={(file) => `${file.delivery_seq} ${file.name}`} columns={[
              { header: "Delivery of", cell: (file) => file.delivered_on },
              { header: "File", cell: (file) => file.name },
              { header: "Size", numeric: true, cell: (file) => <span title={`${count(file.size_bytes)} bytes`}>{size(file.size_bytes)}</span> },
              { header: "sha256", cell: (file) => <code title={file.sha256}>{file.sha256.slice(0, 12)}…</code> },
              { header: "Received", cell: (file) => <When at={file.received_at} /> },
            ]} />
        )}
      </Section>
      {data.acts.length > 0 && (
        <Section title="Who did what">
          <Facts label="Acts" rows={data.acts} rowKey={(_, index) => index} columns={[
            { header: "When", cell: (act) => <When at={act.at} /> },
            { header: "Who", cell: (act) => act.by },
            { header: "What", cell: (act) => spoken(act.kind) },
            { header: "", cell: (act) => <>{act.text}{act.until_at && <> until <When at={act.until_at} /></>}</> },
          ]} />
        </Section>
      )}
    </Page>
  );
}
