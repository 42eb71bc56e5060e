"""Which settings of an export go together, known before anything is loaded or fetched."""

import re
from collections.abc import Iterator

from loraflow.config import ExportConfig
from loraflow.errors import UserError
from loraflow.serve.export.gguf import OUTTYPES, find_converter

_NAME = re.compile(r"\w[\w.-]*")


def require_consistent(export: ExportConfig) -> None:
    """Refuse settings that contradict each other, and a converter that is not there.

    Raises:
        UserError: names each key with a fault, and the fix.
    """
    if faults := list(_faults(export)):
        raise UserError("\n".join(faults))
    if export.kind == "gguf":
        find_converter(export.converter)


def _faults(export: ExportConfig) -> Iterator[str]:
    for key in ("into", "precision"):
        value = getattr(export, key)
        if export.kind == "adapter" and value is not None:
            yield (
                f"export.{key}={value} does nothing with export=adapter, whose few weights stay as "
                "they were trained; drop it, or set export=merged"
            )
        if export.kind != "adapter" and value is None:
            yield f"export.{key}=null says nothing; choose export={export.kind} as it is"
    if export.kind == "gguf" and export.precision not in (None, *OUTTYPES):
        yield (
            f"export.precision={export.precision} is none that llama.cpp's converter writes; set "
            f"export.precision to one of {', '.join(OUTTYPES)}, and llama-quantize the file"
        )
    if export.name is not None and not _NAME.fullmatch(export.name):
        yield (
            f"export.name={export.name} cannot be the name of a folder in export.folder; set "
            "export.name=NAME, of letters, digits, -, _ and ."
        )
    prompts = None if export.check is None else export.check.prompts
    if prompts is not None and not prompts.is_file():
        yield f"export.check.prompts={prompts} is no file; set it to a .txt with a prompt a line"
