"""Runs llama.cpp's own converter on a merged model, where it is installed."""

import shutil
import subprocess
import sys
from pathlib import Path

from loraflow.errors import UserError

SCRIPT = "convert_hf_to_gguf.py"
_COMMANDS = (SCRIPT, "convert-hf-to-gguf")  # in a checkout, and as packages install it
OUTTYPES = {"fp32": "f32", "bf16": "bf16", "int8": "q8_0"}  # precision -> what llama.cpp calls it


def find_converter(given: Path | None) -> Path:
    """Return llama.cpp's converter: the given file or folder, or what the PATH has.

    Raises:
        UserError: says how to get it.
    """
    if given is None:
        for name in _COMMANDS:
            if found := shutil.which(name):
                return Path(found)
        raise UserError(
            f"export=gguf needs llama.cpp's converter, and {SCRIPT} is not on the PATH; clone "
            f"llama.cpp and set export.converter=FOLDER/{SCRIPT}"
        )
    path = given / SCRIPT if given.is_dir() else given
    if not path.is_file():
        raise UserError(
            f"export.converter={given} holds no {SCRIPT}; set it to a checkout of llama.cpp, or to "
            "the script in it"
        )
    return path


def convert(converter: Path, model: Path, *, precision: str, name: str, out: Path) -> None:
    """Write the model in the folder `model` to the file `out`, which calls it `name`.

    Raises:
        UserError: has what the converter said, if it failed.
    """
    is_script = converter.suffix == ".py"
    done = subprocess.run(
        [
            *([sys.executable] if is_script else []),  # has torch and gguf, which it needs
            str(converter),
            str(model),
            "--outfile",
            str(out),
            "--outtype",
            OUTTYPES[precision],
            "--model-name",
            name,  # else the file is called after the folder
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode or not out.is_file():
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        raise UserError(
            f"export.converter={converter} failed, and said last: {said[-1][:300]}; does this "
            "llama.cpp know the architecture, and has this Python what its requirements name?"
        )
