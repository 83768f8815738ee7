// A delivery over a limit: why it waits, until when, who may decide, Approve and Refuse; afterwards who decided, and why.
import { type ReactNode, useState } from "react";
import { Button, HStack, Input, List, Text } from "@chakra-ui/react";
import { type Held, call, clientPath } from "./api";
import { Notice, When } from "./words";

const DECIDED: Record<string, string> = {
  approved: "Approved", refused: "Refused", lapsed: "Lapsed: nobody approved it in time", superseded: "Superseded",
  ended: "Ended in Airflow before anybody decided",
};

export function Hold({ clientId, hold, mayAct, deciders, done, children }: {
  clientId: string; hold: Held; mayAct: boolean; deciders: string[]; done: () => void; children?: ReactNode;
}) {
  const open = hold.status === "open";
  return (
    <Notice status={open || hold.status === "approved" ? "warning" : "info"} title={open ? "Awaiting approval; nothing was changed" : DECIDED[hold.status] ?? hold.status}>
      <List.Root ps={4}>{hold.reasons.map((reason) => <List.Item key={reason.text}>{reason.text}</List.Item>)}</List.Root>
      {children}
      {open ? (
        <>
          <Text color="fg.muted">
            Asked <When at={hold.opened_at} />; refused by itself <When at={hold.lapses_at} />. Who may start this integration in Airflow decides
            {deciders.length > 0 && ` (${deciders.join(", ")}, administrators)`}. Ask the school first.
          </Text>
          {mayAct && <Decide clientId={clientId} hold={hold} done={done} />}
        </>
      ) : (
        <Text color="fg.muted">
          {hold.decided_by && `By ${hold.decided_by} `}<When at={hold.decided_at} />{hold.comment && `: ${hold.comment}`}
        </Text>
      )}
    </Notice>
  );
}

function Decide({ clientId, hold, done }: { clientId: string; hold: Held; done: () => void }) {
  const [comment, setComment] = useState("");
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  const decide = async (approve: boolean) => {
    setBusy(true);
    try {
      await call(`${clientPath(clientId)}/holds/${hold.hold_seq}`, { approve, comment });
      setSaid(approve ? "Approved: it is planned again, and loaded if nothing has changed." : "Refused: nothing is changed.");
      done();
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <HStack wrap="wrap" gap={2} mt={2} role="group" aria-label="Decide about this delivery">
      <Input size="sm" bg="bg" color="fg" width={{ base: "100%", md: "340px" }} placeholder="Why; recorded with your name" aria-label="Comment" value={comment} maxLength={2000}
        onChange={(event) => setComment(event.target.value)} />
      <Button size="sm" colorPalette="blue" disabled={busy} onClick={() => void decide(true)}>Approve</Button>
      <Button size="sm" variant="outline" disabled={busy} onClick={() => void decide(false)}>Refuse</Button>
      <Text as="span" role="status">{said}</Text>
    </HStack>
  );
}
