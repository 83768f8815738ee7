// Records by what became of them, with how long it took; and rejected rows by reason.
import { Bar, CartesianGrid, ComposedChart, Legend, Line, ResponsiveContainer, Scatter, Tooltip, XAxis, YAxis } from "recharts";
import { BAD, count, duration, spoken } from "./words";

const PARTS: [string, string][] = [
  ["inserted", "#38a169"], ["updated", "#3182ce"], ["unchanged", "#a0aec0"], ["deleted", "#9f7aea"], ["rejected", "#e53e3e"],
];
const REASONS = ["#e53e3e", "#dd6b20", "#d69e2e", "#9f7aea", "#3182ce", "#319795", "#718096", "#b83280"];
const TEXT = { fill: "var(--chakra-colors-fg-muted)", fontSize: 12 };
const BOX = { background: "var(--chakra-colors-bg)", borderColor: "var(--chakra-colors-border)", color: "var(--chakra-colors-fg)" };
const HEIGHT = 210;
const said = (part: string) => <span style={{ color: "var(--chakra-colors-fg)" }}>{spoken(part)}</span>;

type Row = Record<string, string | number | boolean | null | undefined>;

export function RecordsChart({ data, by, label, timed = false }: { data: Row[]; by: string; label: string; timed?: boolean }) {
  if (!data.some((one) => PARTS.some(([part]) => one[part]) || one["duration_s"])) {
    return <p style={{ height: HEIGHT, color: "var(--chakra-colors-fg-muted)" }}>No records in this time.</p>;
  }
  const rows = data.map((one) => ({ ...one, failed: BAD.has(String(one["status"])) ? 0 : undefined }));
  return (
    <figure role="img" aria-label={label} style={{ height: HEIGHT, margin: 0 }}>
      <ResponsiveContainer width="100%" height="100%">
        <ComposedChart data={rows} margin={{ top: 4, right: 8, bottom: 0, left: 8 }} accessibilityLayer={false}>
          <CartesianGrid vertical={false} stroke="var(--chakra-colors-border)" />
          <XAxis dataKey={by} tick={TEXT} minTickGap={24} />
          <YAxis yAxisId="records" tickFormatter={count} width={72} tick={TEXT} allowDecimals={false} />
          {timed && <YAxis yAxisId="time" orientation="right" tickFormatter={duration} width={64} tick={TEXT} />}
          <Tooltip contentStyle={BOX} formatter={(value, name) => [name === "took" ? duration(Number(value)) : count(Number(value)), name]} />
          <Legend formatter={said} itemSorter={null} />
          {PARTS.map(([part, colour]) => (
            <Bar key={part} yAxisId="records" dataKey={part} stackId="records" maxBarSize={40} fill={colour} isAnimationActive={false} />
          ))}
          {timed && <Line yAxisId="time" dataKey="duration_s" name="took" stroke="var(--chakra-colors-fg)" strokeWidth={1.5} dot={false} isAnimationActive={false} />}
          {timed && <Scatter yAxisId="records" dataKey="failed" name="failed" shape="cross" fill="#e53e3e" isAnimationActive={false} />}
        </ComposedChart>
      </ResponsiveContainer>
    </figure>
  );
}

// Rows of {at, <code>: rows}; one colour for each code.
export function RejectsChart({ data, codes }: { data: Row[]; codes: string[] }) {
  return (
    <figure role="img" aria-label="Rejected rows by reason" style={{ height: HEIGHT, margin: 0 }}>
      <ResponsiveContainer width="100%" height="100%">
        <ComposedChart data={data} margin={{ top: 4, right: 8, bottom: 0, left: 8 }} accessibilityLayer={false}>
          <CartesianGrid vertical={false} stroke="var(--chakra-colors-border)" />
          <XAxis dataKey="at" tick={TEXT} minTickGap={24} />
          <YAxis tickFormatter={count} width={72} tick={TEXT} allowDecimals={false} />
          <Tooltip contentStyle={BOX} formatter={(value) => count(Number(value))} />
          <Legend formatter={said} itemSorter={null} />
          {codes.map((code, index) => (
            <Bar key={code} dataKey={code} stackId="rejects" maxBarSize={40} fill={REASONS[index % REASONS.length]} isAnimationActive={false} />
          ))}
        </ComposedChart>
      </ResponsiveContainer>
    </figure>
  );
}
