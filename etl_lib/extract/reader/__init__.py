"""Reads one table out of bytes, with certainty or not at all.

From the bytes up: `encoding` makes UTF-8 of them; `dialect` is how a table may be written, `records`
reads one record of it by the letter, `sample` the file's beginning in each way, `shapes` what its
values look like; `header` finds the table that the mapping expects (`columns`), `footer` its end,
`guess` does without a mapping; `block` looks over lines at once, `strict` judges the doubtful ones,
`rows` streams them; `table` is the way in: open_table, read_table.
"""
