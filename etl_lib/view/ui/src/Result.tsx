// One run: its stages on a time line, live; counts that add up; messages and rejects with what to do.
import { type Report, useApi } from "./api";
import { Link, clientPage, logPage } from "./host";
import { Notice, Status, When, count, duration } from "./words";

const PARTS = ["inserted", "updated", "unchanged", "deleted_by_row", "rejected", "duplicates", "filtered"];
const APART = ["deleted_by_absence", "restored", "unresolved"];
const seconds = (from: string, to: string | null) => (new Date(to ?? Date.now()).getTime() - new Date(from).getTime()) / 1000;

export function Result({ dagId, runId }: { dagId?: string; runId?: string }) {
  const path = `/clients/${encodeURIComponent(dagId ?? "")}/run?run_id=${encodeURIComponent(runId ?? "")}`;
  const { data, error } = useApi<Report>(path, 2000);
  if (!data) return <div className="iv"><Notice>{error ?? "Looking up what happened…"}</Notice></div>;
  const { run, words } = data;
  return (
    <div className="iv">
      <h1><Status status={run.status} words={words} /></h1>
      <p>{run.sentence || "Still at work."} <span className="iv-muted">{error}</span></p>
      <div className="iv-muted">
        Started <When at={run.started_at} />, {run.ended_at ? "took" : "at work for"} {duration(run.duration_s)}
        {run.delivered_on && `, delivery of ${run.delivered_on}`}. <Link to={clientPage(dagId ?? "")}>All runs of this school</Link>
      </div>
      <h2>Stages</h2>
      <div className="iv-cards">
        {data.stages.map((stage) => (
          <div key={stage.stage} className="iv-tile">
            <Status status={stage.status} words={{ ...words, succeeded: stage.stage, running: stage.stage }} />
            <div>{duration(seconds(stage.started_at, stage.ended_at))}{!stage.ended_at && stage.rows > 0 && `, ${stage.what}: ${count(stage.rows)} rows`}</div>
            {!stage.ended_at && stage.rows_total && (
              <div className="iv-bar"><span style={{ width: `${(100 * stage.rows) / stage.rows_total}%` }} /></div>
            )}
            {stage.status !== "succeeded" && stage.status !== "running" && <div>{stage.stage}</div>}
            <Link to={logPage(dagId ?? "", runId ?? "", stage.stage)}>Log</Link>
          </div>
        ))}
      </div>
      {data.messages.length > 0 && (
        <>
          <h2>Messages</h2>
          <table>
            <thead><tr><th>What happened</th><th>Next step</th><th>Who</th><th>Where</th><th>Code</th></tr></thead>
            <tbody>
              {data.messages.map((said, index) => (
                <tr key={index}><td>{said.text || said.meaning}</td><td>{said.next_step}</td><td>{said.owner}</td><td>{said.place}</td>
                  <td><code>{said.code}</code></td></tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      {data.counts.length > 0 && (
        <>
          <h2>Counts</h2>
          <div className="iv-scroll">
            <table>
              <thead>
                <tr><th>Feed</th><th>Fills</th><th className="iv-number">Read =</th>
                  {PARTS.map((part, index) => <th key={part} className="iv-number">{index ? "+ " : ""}{part.replaceAll("_", " ")}</th>)}
                  {APART.map((part) => <th key={part} className="iv-number iv-muted">{part.replaceAll("_", " ")}</th>)}</tr>
              </thead>
              <tbody>
                {data.counts.map((row) => (
                  <tr key={row.feed + row.entity}><td>{row.feed}</td><td>{row.entity}</td><td className="iv-number"><b>{count(row["read"] as number)}</b></td>
                    {[...PARTS, ...APART].map((part) => <td key={part} className="iv-number">{count(row[part] as number)}</td>)}</tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
      {data.rejects.length > 0 && (
        <>
          <h2>Rows for the school to mend</h2>
          <table>
            <thead><tr><th>File</th><th>Lines</th><th>Column</th><th>What is wrong</th><th>What to do</th><th className="iv-number">Rows</th></tr></thead>
            <tbody>
              {data.rejects.map((one) => (
                <tr key={one.file + one.column + one.code}><td>{one.file}</td>
                  <td>{one.lines.join(", ")}{one.rows > one.lines.length ? ` and ${count(one.rows - one.lines.length)} more` : ""}</td>
                  <td>{one.column}</td><td>{one.meaning} <code>{one.code}</code></td><td>{one.next_step}</td>
                  <td className="iv-number">{count(one.rows)}</td></tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </div>
  );
}
