// One client: its runs, how fresh each feed is, the files that came, rejects by reason, who is responsible.
import { type History, useApi } from "./api";
import { RecordsChart } from "./Chart";
import { Link, runPage } from "./host";
import { Notice, Status, When, count, duration } from "./words";

export function Integration({ dagId }: { dagId?: string }) {
  const { data, error } = useApi<History>(`/clients/${encodeURIComponent(dagId ?? "")}`, 3000);
  if (!data) return <div className="iv"><Notice>{error ?? "Looking up what happened…"}</Notice></div>;
  const { client, runs, words } = data;
  const oldestFirst = [...runs].reverse().map((run) => ({ ...run, at: run.started_at.slice(0, 16).replace("T", " ") }));
  return (
    <div className="iv">
      <h1>{client.client}</h1>
      <div className="iv-muted">
        {client.sis}. Responsible: {client.owner}. {client.account_number && `Account ${client.account_number}. `}
        {client.contacts.length > 0 && `Contacts: ${client.contacts.join(", ")}. `}
        {client.next_run_at ? <>Next run <When at={client.next_run_at} />.</> : "Runs by hand."} {error}
      </div>
      {client.broken && <Notice><b>The mapping has a mistake; a data engineer corrects it.</b> {client.broken}</Notice>}
      {data.holds.map((hold) => (
        <Notice key={hold.hold_seq}>
          <b>Awaiting approval</b> since <When at={hold.opened_at} />: {hold.reasons.map((reason) => reason.text).join(" ")} Ask the school;
          then trigger the integration with Approve ticked.
        </Notice>
      ))}
      <h2>Runs</h2>
      {runs.length === 0 ? <Notice>This integration has not run yet.</Notice> : <RecordsChart data={oldestFirst} by="at" />}
      <div className="iv-scroll">
        <table>
          <thead>
            <tr><th>When</th><th>Status</th><th>What happened</th><th className="iv-number">Records</th>
              <th className="iv-number">Inserted</th><th className="iv-number">Updated</th><th className="iv-number">Deleted</th>
              <th className="iv-number">Rejected</th><th className="iv-number">Took</th></tr>
          </thead>
          <tbody>
            {runs.map((run) => (
              <tr key={run.run_seq}>
                <td><When at={run.started_at} /></td>
                <td><Status status={run.status} words={words} /></td>
                <td><Link to={runPage(client.client_id, run.run_id)}>{run.sentence || "Still at work"}</Link></td>
                <td className="iv-number">{count(run.read)}</td><td className="iv-number">{count(run.inserted)}</td>
                <td className="iv-number">{count(run.updated)}</td><td className="iv-number">{count(run.deleted)}</td>
                <td className="iv-number">{count(run.rejected)}</td><td className="iv-number">{duration(run.duration_s)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <h2>Feeds</h2>
      <table>
        <thead><tr><th>Feed</th><th>Delivery of</th><th>Came</th><th className="iv-number">Rows</th></tr></thead>
        <tbody>
          {data.feeds.map((feed) => (
            <tr key={feed.feed}><td>{feed.feed}</td><td>{feed.delivered_on}</td><td><When at={feed.received_at} /></td>
              <td className="iv-number">{count(feed.rows_read)}</td></tr>
          ))}
        </tbody>
      </table>
      <h2>Rejected rows of the last 30 days, by reason</h2>
      {data.rejects.length === 0 ? <p className="iv-muted">None.</p> : (
        <table>
          <thead><tr><th>Day</th><th>Code</th><th className="iv-number">Rows</th></tr></thead>
          <tbody>
            {data.rejects.map((one) => (
              <tr key={one.day + one.code}><td>{one.day}</td><td>{one.code}</td><td className="iv-number">{count(one.rows)}</td></tr>
            ))}
          </tbody>
        </table>
      )}
      <h2>Files</h2>
      {data.deliveries.map((delivery) => (
        <details key={delivery.delivery_seq}>
          <summary>{delivery.delivered_on}, came <When at={delivery.received_at} />, {count(delivery.files.length)} files</summary>
          <table>
            <thead><tr><th>File</th><th className="iv-number">Bytes</th><th>sha256</th></tr></thead>
            <tbody>
              {delivery.files.map((file) => (
                <tr key={file.name}><td>{file.name}</td><td className="iv-number">{count(file.size_bytes)}</td><td><code>{file.sha256}</code></td></tr>
              ))}
            </tbody>
          </table>
        </details>
      ))}
    </div>
  );
}
