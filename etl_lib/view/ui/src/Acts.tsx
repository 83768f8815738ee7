// What a person may do about a client: check now, acknowledge, note, snooze. Each is recorded with who did it.
import { useState } from "react";
import { Button, HStack, Input, NativeSelect, Text } from "@chakra-ui/react";
import { call, clientPath } from "./api";
import { useAddress, runPage } from "./host";

const HOURS: [string, number][] = [["1 hour", 1], ["4 hours", 4], ["until tomorrow", 24], ["a week", 168]];

export function Acts({ clientId, runId, mayAct, paused, done }: {
  clientId: string; runId?: string; mayAct: boolean; paused?: boolean; done: () => void;
}) {
  const [text, setText] = useState("");
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  const [begun, setBegun] = useState("");
  const address = useAddress(runPage(clientId, begun));
  if (!mayAct) return null;
  const act = async (what: () => Promise<string>) => {
    setBusy(true);
    try {
      setSaid(await what());
      setText("");
      done();
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  const record = (kind: string, until?: number) => act(async () => {
    const until_at = until ? new Date(Date.now() + until * 3_600_000).toISOString() : null;
    await call(`${clientPath(clientId)}/acts`, { kind, text, until_at, run_id: runId ?? null });
    return { acknowledge: "Taken: others see that you are on it.", note: "Noted.", snooze: "Snoozed." }[kind] ?? "Recorded.";
  });
  const checkNow = () => act(async () => {
    const { run_id } = await call<{ run_id: string }>(`${clientPath(clientId)}/check-now`, {});
    setBegun(run_id);
    return "Looking for files now.";
  });
  return (
    <HStack wrap="wrap" gap={2} my={3} role="group" aria-label="What you can do">
      <Button size="sm" colorPalette="blue" disabled={busy || paused} onClick={() => void checkNow()}
        title={paused ? "The integration is paused in Airflow" : "A corrected file has come: look for it now"}>Check now</Button>
      <Input size="sm" width={{ base: "100%", md: "300px" }} placeholder="Say something to the others" aria-label="Note" value={text} maxLength={2000}
        onChange={(event) => setText(event.target.value)} />
      <Button size="sm" variant="outline" disabled={busy} onClick={() => void record("acknowledge")}>I am on it</Button>
      <Button size="sm" variant="outline" disabled={busy || !text.trim()} onClick={() => void record("note")}>Add note</Button>
      <NativeSelect.Root size="sm" width="150px" disabled={busy}>
        <NativeSelect.Field aria-label="Snooze" value="" onChange={(event) => void record("snooze", Number(event.target.value))}>
          <option value="" disabled>Snooze…</option>
          {HOURS.map(([words, hours]) => <option key={hours} value={hours}>{words}</option>)}
        </NativeSelect.Field>
        <NativeSelect.Indicator />
      </NativeSelect.Root>
      <Text as="span" role="status" color="fg.muted">{said} {begun && <a href={address} style={{ textDecoration: "underline" }}>See the run</a>}</Text>
    </HStack>
  );
}
