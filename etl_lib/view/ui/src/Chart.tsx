// Records per day or per run, stacked by what became of them.
import { Bar, BarChart, CartesianGrid, Legend, ResponsiveContainer, Tooltip, XAxis, YAxis } from "recharts";
import { count } from "./words";

const PARTS: [string, string][] = [
  ["inserted", "#2f855a"], ["updated", "#2b6cb0"], ["unchanged", "#a0aec0"], ["deleted", "#805ad5"], ["rejected", "#c53030"],
];

export function RecordsChart({ data, by }: { data: object[]; by: string }) {
  const any = data.some((one) => PARTS.some(([part]) => (one as Record<string, number | null>)[part]));
  if (!any) return <p className="iv-muted">No records in this time.</p>;
  return (
    <ResponsiveContainer width="100%" height={200}>
      <BarChart data={data} margin={{ top: 4, right: 8, bottom: 0, left: 8 }}>
        <CartesianGrid vertical={false} stroke="var(--chakra-colors-border)" />
        <XAxis dataKey={by} tick={{ fill: "var(--chakra-colors-fg-muted)", fontSize: 12 }} minTickGap={24} />
        <YAxis tickFormatter={count} width={72} tick={{ fill: "var(--chakra-colors-fg-muted)", fontSize: 12 }} />
        <Tooltip
          formatter={(value) => count(Number(value))}
          contentStyle={{ background: "var(--chakra-colors-bg)", borderColor: "var(--chakra-colors-border)" }}
        />
        <Legend formatter={(part) => <span style={{ color: "var(--chakra-colors-fg)" }}>{part}</span>} />
        {PARTS.map(([part, colour]) => (
          <Bar key={part} dataKey={part} stackId="records" maxBarSize={40} fill={colour} isAnimationActive={false} />
        ))}
      </BarChart>
    </ResponsiveContainer>
  );
}
