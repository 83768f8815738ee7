"""`etl run` with a clock around Great Expectations: `python -m benchmarks.judged OUT run CLIENT --files …`.

OUT gets the CPU seconds as JSON: `import_s` (beyond pandas, which transform needs in any case), `judge_s`.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from etl_lib.cli.__main__ import start
from etl_lib.validate import delivery


def _clocked(out: Path, judge: Any) -> Any:
    def timed(*given: Any) -> Any:
        import pandas  # noqa: F401

        times = [time.process_time()]
        from etl_lib.validate import facts_engine  # noqa: F401

        times.append(time.process_time())
        verdict = judge(*given)
        times.append(time.process_time())
        names = ("import_s", "judge_s")
        spans = (end - begin for begin, end in pairwise(times))
        out.write_text(json.dumps(dict(zip(names, spans, strict=True))))
        return verdict

    return timed


if __name__ == "__main__":
    vars(delivery)["_judge"] = _clocked(Path(sys.argv.pop(1)), vars(delivery)["_judge"])
    start()
