"""The command line: `--help` and `--version`; settings are in the environment."""

import sys
import textwrap
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from pydantic_core import PydanticUndefined
from typing_extensions import override

from queue_recovery.controller.settings import Settings

PROGRAM = "queue-recovery"
_USAGE_ERROR = 2


def refuse(*problems: str) -> NoReturn:
    """Exit with code 2 and one line for each problem."""
    for problem in problems:
        sys.stderr.write(f"{PROGRAM}: {problem}\n")
    sys.exit(_USAGE_ERROR)


def parse(arguments: Sequence[str]) -> None:
    """Answer `--help` and `--version` and exit; refuse any other argument."""
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--help] [--version]",
        description="Run the operator until SIGTERM or SIGINT, in a pod or with a kubeconfig.",
        epilog=_settings(),
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=program_and_version())
    parser.parse_args(arguments)


def program_and_version() -> str:
    """Return what `--version` answers."""
    return f"{PROGRAM} {version(PROGRAM)}"


class _Parser(ArgumentParser):
    @override
    def error(self, message: str) -> NoReturn:
        refuse(f"{message}. {PROGRAM} --help lists the settings")


def _settings() -> str:
    """Return each setting with its default and its description."""
    lines = ["settings, as environment variables:"]
    prefix = Settings.model_config["env_prefix"]
    for name, field in Settings.model_fields.items():
        default = "the host's name" if field.default is PydanticUndefined else _written(field.default)
        lines.append(f"  {prefix}{name.upper()} (default: {default})")
        lines += textwrap.wrap(field.description or "", 100, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _written(default: object) -> str:
    return "none" if default in {None, ()} else str(default)
