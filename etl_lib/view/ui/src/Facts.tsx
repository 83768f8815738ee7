// A small table of facts: headings, rows of cells, numbers to the right.
import type { Key, ReactNode } from "react";
import { Box, Heading, Table } from "@chakra-ui/react";

export type Column<T> = { header: ReactNode; cell: (row: T) => ReactNode; numeric?: boolean; muted?: boolean };

export function Section({ title, children, aside }: { title: string; children: ReactNode; aside?: ReactNode }) {
  return (
    <Box as="section" mt={6}>
      <Box display="flex" justifyContent="space-between" alignItems="center" gap={2} mb={2} flexWrap="wrap">
        <Heading as="h2" size="md">{title}</Heading>
        {aside}
      </Box>
      {children}
    </Box>
  );
}

export function Facts<T>({ rows, columns, label, rowKey }: { rows: T[]; columns: Column<T>[]; label: string; rowKey: (row: T, index: number) => Key }) {
  return (
    <Table.ScrollArea borderWidth="1px" borderRadius="md" maxH="60vh" tabIndex={0} role="region" aria-label={label}>
      <Table.Root size="sm" stickyHeader>
        <Table.Header>
          <Table.Row bg="bg.subtle">
            {columns.map((column, index) => (
              <Table.ColumnHeader key={index} color={column.muted ? "fg.muted" : "fg"} textAlign={column.numeric ? "end" : "start"}
                whiteSpace="nowrap">{column.header}</Table.ColumnHeader>
            ))}
          </Table.Row>
        </Table.Header>
        <Table.Body>
          {rows.map((row, index) => (
            <Table.Row key={rowKey(row, index)}>
              {columns.map((column, place) => (
                <Table.Cell key={place} textAlign={column.numeric ? "end" : "start"} verticalAlign="top"
                  whiteSpace={column.numeric ? "nowrap" : "normal"} fontVariantNumeric={column.numeric ? "tabular-nums" : undefined}
                  color={column.muted ? "fg.muted" : "fg"}>{column.cell(row)}</Table.Cell>
              ))}
            </Table.Row>
          ))}
        </Table.Body>
      </Table.Root>
    </Table.ScrollArea>
  );
}
