// One run: its stages on a time line, live; counts that add up; messages and rejects with what to do; what changed.
import { type ReactNode, useState } from "react";
import { Badge, Box, Button, Heading, HStack, Link as ChakraLink, Progress, Stack, Text } from "@chakra-ui/react";
import { type FillCounts, type Rejects, type Report, type Stage, rejectedUrl, runPath, useApi } from "./api";
import { Acts } from "./Acts";
import { Facts, Section } from "./Facts";
import { Hold } from "./Hold";
import { Link, clientPage, logPage } from "./host";
import { Loading, Notice, Page, Status, When, count, duration, palette, seconds, spoken } from "./words";

const LIVE_MS = 2000;
const PARTS = ["inserted", "updated", "unchanged", "deleted_by_row", "rejected", "duplicates", "filtered"];
const APART = ["deleted_by_absence", "restored", "unresolved"];
const NAMES = ["extract", "validate", "transform", "load"];

function TimeLine({ dagId, runId, report }: { dagId: string; runId: string; report: Report }) {
  const { run, stages, words } = report;
  const begun = new Date(run.started_at).getTime();
  const whole = Math.max(1, seconds(run.started_at, run.ended_at), run.ended_at ? 0 : run.usual_duration_s ?? 0);
  return (
    <Stack gap={1} role="list" aria-label="Stages">
      {NAMES.map((name) => {
        const stage = stages.find((one) => one.stage === name);
        return (
          <HStack key={name} role="listitem" gap={3} minH="34px" wrap={{ base: "wrap", md: "nowrap" }} data-stage={name}>
            <Box width="170px" flexShrink={0}>
              {stage ? <Status status={stage.status} words={{ ...words, succeeded: name, running: name, failed: `${name} failed`, awaiting_approval: `${name} waits`, refused: `${name} refused` }} />
                : <Text as="span" color="fg.muted">{name}</Text>}
            </Box>
            <Box flex="1" minW="160px" height="10px" bg="bg.muted" borderRadius="full" position="relative" overflow="hidden">
              {stage && <Box position="absolute" height="10px" borderRadius="full" colorPalette={palette(stage.status)} bg="colorPalette.solid"
                left={`${Math.min(99, (100 * Math.max(0, new Date(stage.started_at).getTime() - begun)) / 1000 / whole)}%`}
                width={`max(4px, ${Math.min(100, (100 * seconds(stage.started_at, stage.ended_at)) / whole)}%)`} />}
            </Box>
            <Box width={{ base: "100%", md: "420px" }} flexShrink={0} fontVariantNumeric="tabular-nums">
              {stage && <Doing stage={stage} log={<Link to={logPage(dagId, runId, name)}>Log</Link>} />}
            </Box>
          </HStack>
        );
      })}
    </Stack>
  );
}

function Doing({ stage, log }: { stage: Stage; log: ReactNode }) {
  const taken = seconds(stage.started_at, stage.ended_at);
  if (stage.ended_at || !stage.rows) return <>{duration(taken)} {log}</>;
  const share = stage.rows_total ? Math.min(100, (100 * stage.rows) / stage.rows_total) : null;
  return (
    <>
      {duration(taken)}, {spoken(stage.what)}: {count(stage.rows)}{stage.rows_total ? ` of ${count(stage.rows_total)}` : ""} rows,{" "}
      {count(Math.round(stage.rows / Math.max(1, taken)))} rows/s {log}
      {share !== null && (
        <Progress.Root value={share} size="xs" aria-label={`${stage.stage}: rows`}><Progress.Track><Progress.Range /></Progress.Track></Progress.Root>
      )}
    </>
  );
}

// What an account manager pastes into a letter to the school; line numbers and remedies, no values.
function letter(report: Report): string {
  const lines = report.rejects.map((one) =>
    `- ${one.file}, ${one.rows === 1 ? "line" : "lines"} ${linesOf(one)}${one.column ? `, column ${one.column}` : ""}: ${one.meaning} ${one.next_step}`);
  return [`${report.client}: these rows could not be loaded${report.run.delivered_on ? ` (delivery of ${report.run.delivered_on})` : ""}.`, "", ...lines].join("\n");
}

const linesOf = (one: Rejects) =>
  one.lines.map((line) => (line === 0 ? "all" : String(line))).join(", ") + (one.rows > one.lines.length ? ` and ${count(one.rows - one.lines.length)} more` : "");

function Copy({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
  };
  return <Button size="xs" variant="outline" onClick={() => void copy()}>{done ? "Copied" : "Copy for the school"}</Button>;
}

export function Result({ dagId = "", runId = "" }: { dagId?: string; runId?: string }) {
  const { data, error, again } = useApi<Report>(runPath(dagId, runId), LIVE_MS);
  if (!data) return <Loading error={error} />;
  const { run, words } = data;
  const atWork = !run.ended_at && run.status !== "awaiting_approval";
  const expected = atWork && run.usual_duration_s ? new Date(new Date(run.started_at).getTime() + run.usual_duration_s * 1000).toISOString() : null;
  const sum = (entity: string, part: string) => data.counts.filter((row) => row.entity === entity).reduce((all, row) => all + Number(row[part]), 0);
  const changed = (entity: string) => ["inserted", "updated", "deleted_by_row", "deleted_by_absence"].some((part) => sum(entity, part));
  const entities = [...new Set(data.counts.map((row) => row.entity))].filter(changed);
  return (
    <Page>
      <HStack gap={3} wrap="wrap">
        <Heading as="h1" size="lg">{data.client}</Heading>
        <Status status={run.dry_run ? "dry_run" : run.status} words={words} size="lg" />
      </HStack>
      <Text fontSize="md" my={1}>{run.sentence || "Still at work."}</Text>
      <Text color="fg.muted">
        Started <When at={run.started_at} />, {run.ended_at ? "took" : atWork ? "at work for" : "waits since then,"} {duration(run.duration_s ?? seconds(run.started_at, null))}
        {run.usual_duration_s !== null && ` (usually ${duration(run.usual_duration_s)})`}
        {expected && (new Date(expected) > new Date() ? <>, expected to end <When at={expected} /></> : ", longer than usual")}
        {run.delivered_on && `, delivery of ${run.delivered_on}`}. <Link to={clientPage(dagId)}>All runs of this school</Link> {error}
      </Text>
      {run.dry_run && <Notice status="info" title="Dry run: nothing was changed">The figures below are what this delivery would do.</Notice>}
      {data.hold && <Hold clientId={dagId} hold={data.hold} mayAct={data.may_act} deciders={data.deciders} done={again} />}
      <Acts clientId={dagId} runId={runId} mayAct={data.may_act} done={again} />
      <Section title="Stages"><TimeLine dagId={dagId} runId={runId} report={data} /></Section>
      {data.messages.length > 0 && (
        <Section title="What to do">
          <Facts label="Messages" rows={data.messages} rowKey={(_, index) => index} columns={[
            { header: "", cell: (said) => <Badge color="fg" colorPalette={said.level === "error" ? "red" : said.level === "warning" ? "orange" : "blue"}>{said.level}</Badge> },
            { header: "What happened", cell: (said) => <>{said.text || said.meaning}{said.text && said.meaning && <Text color="fg.muted">{said.meaning}</Text>}</> },
            { header: "Next step", cell: (said) => said.next_step },
            { header: "Who", cell: (said) => said.owner },
            { header: "Where", cell: (said) => said.place },
            { header: "Code", cell: (said) => <code>{said.code}</code> },
          ]} />
        </Section>
      )}
      {data.counts.length > 0 && (
        <Section title={data.is_plan ? "Counts of the plan; nothing was changed" : "Counts"}>
          <Facts<FillCounts> label="Counts" rows={data.counts} rowKey={(row) => row.feed + row.entity} columns={[
            { header: "Feed", cell: (row) => spoken(row.feed) },
            { header: "Fills", cell: (row) => spoken(row.entity) },
            { header: "Read =", numeric: true, cell: (row) => <b>{count(Number(row["read"]))}</b> },
            ...PARTS.map((part, index) => ({ header: `${index ? "+ " : ""}${spoken(part)}`, numeric: true, cell: (row: FillCounts) => count(Number(row[part])) })),
            ...APART.map((part) => ({ header: spoken(part), numeric: true, muted: true, cell: (row: FillCounts) => count(Number(row[part])) })),
          ]} />
        </Section>
      )}
      {data.rejects.length > 0 && (
        <Section title="Rows for the school to mend" aside={
          <HStack>
            <Copy text={letter(data)} />
            {data.may_act && <ChakraLink href={rejectedUrl(dagId, runId)} download color="fg" textDecoration="underline">Download the rows</ChakraLink>}
          </HStack>
        }>
          <Facts label="Rejected rows" rows={data.rejects} rowKey={(one) => `${one.file} ${one.column} ${one.code}`} columns={[
            { header: "File", cell: (one) => one.file },
            { header: "Lines", cell: linesOf },
            { header: "Column", cell: (one) => one.column },
            { header: "What is wrong", cell: (one) => <>{one.meaning} <code>{one.code}</code></> },
            { header: "What to do", cell: (one) => one.next_step },
            { header: "Rows", numeric: true, cell: (one) => count(one.rows) },
          ]} />
        </Section>
      )}
      {entities.length > 0 && (
        <Section title={data.is_plan ? "What would change" : "What changed"}>
          <Facts label="Changes" rows={entities} rowKey={(entity) => entity} columns={[
            { header: "Entity", cell: spoken },
            { header: "Inserted", numeric: true, cell: (entity) => count(sum(entity, "inserted")) },
            { header: "Updated", numeric: true, cell: (entity) => count(sum(entity, "updated")) },
            { header: "In which columns", cell: (entity) => data.changed_columns.filter((one) => one.entity === entity)
              .map((one) => `${spoken(one.column)} ${count(one.rows)}`).join(", ") },
            { header: "Deleted", numeric: true, cell: (entity) => count(sum(entity, "deleted_by_row") + sum(entity, "deleted_by_absence")) },
            { header: "Examples, keys masked", cell: (entity) => data.samples.filter((one) => one.entity === entity).slice(0, 6)
              .map((one) => `${one.key} ${spoken(one.action)}${one.columns.length ? ` (${one.columns.map(spoken).join(", ")})` : ""}`).join("; ") },
          ]} />
        </Section>
      )}
    </Page>
  );
}
