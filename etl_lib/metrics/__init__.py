"""What is recorded about runs: status, counts, stages, messages, rejected rows; where, and how it is read."""
