"""What is said in the terminal and in the dashboard's log: for flows by `logging.yml`."""

import logging

from loraflow.errors import UserError


class WithoutUserTraceback(logging.Filter):
    """Takes the traceback off what the user can mend: the message says all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if record.exc_info and isinstance(record.exc_info[1], UserError):
            record.exc_info = None
        return True


def speak_plainly() -> None:
    """Say what this project's code notes in the terminal, in a command that is no flow."""
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("loraflow").setLevel(logging.INFO)
    for name in ("bitsandbytes", "urllib3"):  # as in logging.yml
        logging.getLogger(name).setLevel(logging.ERROR)
