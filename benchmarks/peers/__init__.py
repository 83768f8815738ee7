"""Scripts for the peers' own environment, which has nothing of this project in it."""
