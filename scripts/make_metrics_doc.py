"""Write docs/metrics.md from the table of metrics: python scripts/make_metrics_doc.py [--check]"""

import sys
from pathlib import Path

from observe_r1.train.metric_table import as_markdown

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"


def main() -> int:
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text() == as_markdown() else 1
    PAGE.write_text(as_markdown())
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
