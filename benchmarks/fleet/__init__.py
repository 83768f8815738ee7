"""Five hundred mappings on one machine: parsing, what a task and a quiet run cost, a whole night."""
