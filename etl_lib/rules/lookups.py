"""Values that a rule takes from another feed of the same delivery."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from etl_lib.config.mapping import Lookup
from etl_lib.config.project import ResolvedMapping
from etl_lib.rules.text import none_of, trimmed


@dataclass(frozen=True)
class Lookups:
    """For each lookup rule, the other feed's values by key; `client_id` salts hashed values."""

    client_id: str
    tables: dict[Lookup, tuple[pa.StringArray, pa.StringArray]]

    @classmethod
    def build(
        cls, resolved: ResolvedMapping, tables_of: Callable[[str, list[str]], Iterable[pa.Table]]
    ) -> Lookups:
        """Read what the mapping's lookups need; `tables_of(feed, columns)` gives that feed's rows.

        A column that the feed's file does not have is missing from its table: nothing is found then.
        The last row of a key counts.
        """
        wanted = {
            rule.lookup
            for feed in resolved.mapping.feeds.values()
            for fill in feed.entities.values()
            for rule in fill.columns.values()
            if rule.lookup
        }
        found = {}
        for lookup in wanted:
            pairs: dict[str, str | None] = {}
            values_of = resolved.mapping.feeds[lookup.feed].values
            tokens = (*values_of.null_tokens, *values_of.clear_tokens)
            for table in tables_of(lookup.feed, [lookup.key, lookup.column]):
                if {lookup.key, lookup.column} <= set(table.column_names):
                    keys = trimmed(table[lookup.key].combine_chunks()).to_pylist()
                    texts = trimmed(table[lookup.column].combine_chunks())
                    values = none_of(texts, tokens).to_pylist()
                    pairs.update(zip(keys, values, strict=True))
            pairs.pop("", None)
            found[lookup] = (
                pa.array(pairs.keys(), pa.string()),
                pa.array(pairs.values(), pa.string()),
            )
        return cls(resolved.client_id, found)

    def take(self, lookup: Lookup, by: pa.StringArray) -> tuple[pa.StringArray, pa.BooleanArray]:
        """The looked-up value of each row, and the rows whose key the other feed does not have.

        `by`: trimmed, null where the row has no key.
        """
        keys, values = self.tables[lookup]
        places = pc.index_in(by, value_set=keys)
        missing = pc.and_(by.is_valid(), pc.invert(places.is_valid()))
        return values.take(places), missing
