"""YAML in, frozen models or all faults at once out."""
