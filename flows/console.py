"""How errors stand in the dashboard's log; used by `logging.yml`."""

import logging

from loraflow.errors import UserError


class WithoutUserTraceback(logging.Filter):
    """Takes the traceback off what the user can mend: the message says all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if record.exc_info and isinstance(record.exc_info[1], UserError):
            record.exc_info = None
        return True
