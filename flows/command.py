"""The command line of every flow: Hydra composes, `loraflow.check` judges, errors are short."""

import atexit
import gc
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import hydra
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from loraflow.check import flatten, known_keys, load_config
from loraflow.config import Config
from loraflow.errors import UserError, nearest

CONF = Path(__file__).resolve().parents[1] / "conf"
USER_ERROR = 2  # exit status: the config, the data or the machine has to change first


def run_command(body: Callable[[Config], None]) -> None:
    """Compose the config from the command line and hand it, checked, to `body`.

    Exits with status 2 and a message for what the user can mend.
    """

    def run() -> None:
        for config in [load_config(to_settings(composed)) for composed in read_command("config")]:
            body(config)

    run_safely(run)


def run_safely(body: Callable[[], None]) -> None:
    """Run a command; exit with status 2 and a message for what the user can mend."""
    set_environment()
    atexit.register(gc.freeze)  # else the end goes over all objects of the libraries, for seconds
    try:
        body()
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on after the last finished stage")


def shows_help(text: str | None) -> bool:
    """Show `text`, if the command line asks what a command with words of its own does."""
    is_asked = bool({"--help", "-h"} & set(sys.argv[1:]))
    if is_asked:
        sys.stdout.write(f"{text}\n")
    return is_asked


def set_environment() -> None:
    """Set what libraries read when they are first imported, unless the user has.

    Threads that wait for each other sleep instead of spinning: on a machine that does something
    else besides, spinning makes training ten times slower (docs/architecture.md).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # a dead server is soon known
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")  # and one that never answers
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")


def read_command(config_name: str) -> list[DictConfig]:
    """Let Hydra read the command line: one config, several with -m, none with --help.

    Raises:
        UserError: says what Hydra could not compose.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing its own summary
    composed: list[DictConfig] = []

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)
    def collect(config: DictConfig) -> None:
        composed.append(config)  # run outside Hydra, whose error report would come first

    sys.argv[1:] = [readable(argument) for argument in sys.argv[1:]]
    with explained(config_name):
        collect()
    return composed


def compose_settings(config_name: str, words: Sequence[str]) -> dict[str, Any]:
    """Return a config of `conf/` under the overrides `words`, as plain nested values.

    Raises:
        UserError: says what Hydra could not compose.
    """
    with explained(config_name), initialize_config_dir(str(CONF), version_base="1.3"):
        return to_settings(compose(config_name, overrides=list(words)))


@contextmanager
def explained(config_name: str = "config") -> Iterator[None]:
    """Turn what Hydra says of a config of `conf/` into a short error in this project's words."""
    try:
        yield
    except UserError:
        raise  # is short already
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(_explain(error, config_name)) from error


def readable(argument: str) -> str:
    """Quote words such as 数据.json, which Hydra's grammar does not know; let mappings be set.

    Raises:
        UserError: for a group set to null, which Hydra reports without naming the group.
    """
    key, equals, value = argument.partition("=")
    if value == "null" and key != "experiment" and (CONF / key).is_dir():
        raise UserError(_unknown_choice(f"{key}/{value}"))
    if value.startswith("{") and not key.startswith("+"):
        key = f"++{key}"  # Hydra would take no key that the mapping does not have yet
    if value.isascii() or value[0] in "'\"":
        return f"{key}{equals}{value}"
    if value[0] in "[{":
        return f"{key}{equals}{_WORD.sub(_quoted, value)}"
    return f"{key}{equals}'" + value.replace("'", r"\'") + "'"


_WORD = re.compile(r"""'[^']*'|"[^"]*"|[^\[\]{},:'"\s]+""")


def _quoted(word: "re.Match[str]") -> str:
    """Quote a word of a list or a mapping that Hydra's grammar does not know."""
    return word[0] if word[0].isascii() or word[0][0] in "'\"" else f"'{word[0]}'"


def to_settings(composed: DictConfig) -> dict[str, Any]:
    """Return the composed config as plain nested values.

    Raises:
        UserError: names every key that only the user can fill in.
    """
    unresolved = flatten(_plain(composed, resolve=False))
    if missing := [key for key, value in unresolved.items() if value == "???"]:
        raise UserError("; ".join(f"{key} has no value: set {key}=VALUE" for key in missing))
    try:
        return _plain(composed, resolve=True)
    except InterpolationResolutionError as error:
        raise UserError(_explain(error)) from error


def _plain(composed: DictConfig, *, resolve: bool) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(composed, resolve=resolve))


def _explain(error: BaseException, config_name: str = "config") -> str:
    """Say in this project's words what Hydra could not compose."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _unknown_choice(error.missing_cfg_file)
    message = str(error).strip().partition("\n")[0]
    if isinstance(error, ConfigCompositionException) and "Could not override" in message:
        key = message.split("'")[1]
        return f"{key} is not a key of the config{nearest(key, _keys_of(config_name))}"
    if isinstance(error, InterpolationResolutionError):
        return f"{message.rpartition('interpolation: ')[2]}; set it, or choose another file"
    if not message and error.__cause__:
        return _explain(error.__cause__, config_name)
    return f"the command line cannot be read: {message}"


def _keys_of(config_name: str) -> list[str]:
    """Return the keys of an experiment, and those that another config has beside them."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return [*known_keys(), *flatten(_plain(compose(config_name), resolve=False))]


def _unknown_choice(path: str) -> str:
    group, _, choice = path.partition("/")
    choices = sorted(file.stem for file in (CONF / group).glob("*.yaml"))
    other = "; any other model: model=hub model.location=ID" if group == "model" else ""
    return (
        f"{group}={choice} is unknown{nearest(choice, choices)}; "
        f"choose from {', '.join(choices)}{other}"
    )


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"\nerror: {message}\n")
    sys.exit(USER_ERROR)
