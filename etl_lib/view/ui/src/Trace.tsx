// Follows one record of a client through its deliveries, by its key.
import { type FormEvent, useState } from "react";
import { Box, Button, HStack, Input, Text } from "@chakra-ui/react";
import { type Fate, type Trace, call, clientPath } from "./api";
import { Facts, Section } from "./Facts";
import { Link, runPage } from "./host";
import { Notice, Status, When, count, spoken } from "./words";
import type { Words } from "./api";

const what = (fate: Fate) => (
  <>
    <b>{spoken(fate.outcome)}</b>{fate.code && <> <code>{fate.code}</code></>}
    {fate.columns.length > 0 && ` (${fate.columns.map(spoken).join(", ")})`}{fate.by_absence && ", no longer in the files"}
  </>
);

type Line = { run: Trace["runs"][number]; fate?: Fate };

export function TraceOne({ clientId, words }: { clientId: string; words: Words }) {
  const [key, setKey] = useState("");
  const [found, setFound] = useState<Trace>();
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  const look = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setSaid("");
    try {
      setFound(await call<Trace>(`${clientPath(clientId)}/trace`, { key }));
    } catch (error) {
      setFound(undefined);
      setSaid(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  const lines: Line[] = (found?.runs ?? []).flatMap((run): Line[] => run.fates.length ? run.fates.map((fate) => ({ run, fate })) : [{ run }]);
  return (
    <Section title="Find one record">
      <form onSubmit={(event) => void look(event)}>
        <HStack gap={2} wrap="wrap">
          <Input size="sm" width="260px" aria-label="Key of the record" placeholder="Key, as the school writes it" value={key} maxLength={255}
            autoComplete="off" onChange={(event) => setKey(event.target.value)} />
          <Button size="sm" type="submit" variant="outline" disabled={busy || !key.trim()}>{busy ? "Looking…" : "What became of it?"}</Button>
          <Text as="span" color="fg.muted">Shows no values; every look-up is recorded.</Text>
        </HStack>
      </form>
      <Box aria-live="polite">
        {said && <Notice status="error">{said}</Notice>}
        {found && (
          <>
            <Notice status={found.standing.some((one) => one.state === "present") ? "info" : "warning"} title={found.sentence} />
            <Facts label="What each run did with it" rows={lines} rowKey={(_, index) => index} columns={[
              { header: "Run", cell: ({ run }) => <Link to={runPage(clientId, run.run_id)}><When at={run.started_at} /></Link> },
              { header: "Status", cell: ({ run }) => <Status status={run.status} words={words} /> },
              { header: "As", cell: ({ fate }) => fate ? spoken(fate.entity || fate.feed) : "" },
              { header: "What became of it", cell: ({ run, fate }) => fate ? what(fate) : run.looked
                ? `not in the files${run.unreadable ? `; ${count(run.unreadable)} rejected rows have no key that can be read` : ""}`
                : "its files cannot be looked into" },
              { header: "Where", cell: ({ fate }) => fate?.file ? `${fate.file}, line ${fate.line}` : "" },
            ]} />
          </>
        )}
      </Box>
    </Section>
  );
}
