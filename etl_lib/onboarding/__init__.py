"""Everything about beginning with a client, keeping its connection right, and ending it."""
