"""From a school's CSV delivery to rows in PostgreSQL: one library, one folder per stage."""
