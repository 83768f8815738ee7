"""All faults that can be planted: whoever imports this has them registered."""

import tests.faults.airkill
import tests.faults.beside
import tests.faults.more  # noqa: F401
