"""From a school's CSV delivery to rows in PostgreSQL: one library, one folder per stage."""

import os

# Read by Arrow when it is imported. Its own choice keeps what is freed: the stages of a million rows came
# to 627 MB at their peak, with this one to 517.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
