"""What is in the deliveries that loads are timed on; light, since the measuring process must stay small."""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = (
    "person_id", "status", "display_number", "username", "email", "given_name", "middle_name",
    "family_name", "is_confidential", "grade_level", "birth_date", "primary_organization_id",
)  # fmt: skip


@dataclass(frozen=True)
class School:
    """What is in the two deliveries: rows of people, how many of them change, and sizes in bytes."""

    rows: int
    changed: int
    file_bytes: int
    changed_bytes: int  # of the changed rows' lines
