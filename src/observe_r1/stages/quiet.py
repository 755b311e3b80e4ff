"""Other libraries' progress bars: theirs are many and small; ours say what is going on."""

import sys


def quiet_libraries() -> None:
    """No bars for loading weights, and none for downloads either where nobody watches."""
    from huggingface_hub.utils import disable_progress_bars
    from transformers.utils import logging

    logging.disable_progress_bar()
    if not sys.stderr.isatty():
        disable_progress_bars()
