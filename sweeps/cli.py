"""The console script `fairfm`: the commands of the three packages, each loaded on use."""

from __future__ import annotations

import os
import re
import sys
import traceback
from contextlib import suppress
from types import TracebackType
from typing import NoReturn

import click

from fairfm_core.config.named_records import imported
from fairfm_core.errors import did_you_mean, redacted
from sweeps.interrupts import RayLost, first_signal, ignore_signals, raise_on_signals

# Command -> (module:function, help text), so that `fairfm --help` loads no package.
COMMANDS = {
    "data": (
        "fairfm_core.commands.data:data",
        "Prepare and check data sets: images and tables -> a cohort.",
    ),
    "model": (
        "fairfm_core.commands.model:model",
        "List foundation models; convert and check their weights.",
    ),
    "sweep": ("sweeps.commands.sweep:sweep", "Plan, run and follow a study."),
    "evaluate": (
        "analysis.commands.evaluate:evaluate",
        "Metrics and gaps with intervals from predictions; compare two models.",
    ),
    "ensemble": (
        "analysis.commands.ensemble:ensemble",
        "Ensembles of stored predictions; search all subsets.",
    ),
    "pareto": (
        "analysis.commands.study:pareto",
        "The Pareto front of a study: chosen on validation, shown on test.",
    ),
    "tables": (
        "analysis.commands.paper:tables",
        "The paper's tables and claims, from the studies of a results folder.",
    ),
    "figures": (
        "analysis.commands.paper:figures",
        "The paper's figures and others by group, from the studies of a results folder.",
    ),
    "power": (
        "analysis.commands.power:power",
        "The smallest detectable gap of a planned study; the patients for a given one.",
    ),
    "search": ("sweeps.commands.search:search", "What the search of a study has found."),
    "report": ("sweeps.commands.report:report", "A self-contained HTML report on a study."),
    "card": (
        "analysis.commands.card:card",
        "A model card: use, data, numbers by group, limits.",
    ),
    "results": (
        "sweeps.commands.results:results",
        "Check, repair and clean up a results folder; find a trial's files.",
    ),
    "export": ("sweeps.commands.export:export", "Hand over predictions as one file."),
    "track": ("sweeps.commands.track:track", "Bring MLflow up to date with stored results."),
    "cluster": ("sweeps.commands.cluster:cluster", "Start, stop and follow a Ray cluster."),
    "ui": ("sweeps.commands.track:ui", "Serve the MLflow UI for a results folder."),
    "doctor": (
        "sweeps.commands.doctor:doctor",
        "Check installation, devices, disks and services, and say what to do.",
    ),
}

DONE, SOME_FAILED, BAD_INPUT = 0, 1, 2
"""Exit codes: all done; some trials failed; an error that the user can fix."""
SIGNALLED = 128
"""Exit code of a command that a signal has ended, to which the signal's number is added: 130 for
Ctrl-C (SIGINT), 143 for SIGTERM, 129 for a closed terminal (SIGHUP), 138 for SIGUSR1."""

RESUME = "FAIRFM_RESUME_WITH"
"""Variable with the command that resumes a run which another command has started."""

INTERRUPTED = "interrupted; finished work is kept, run the same command again to resume"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a study needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command; None for an unknown name."""
        if name not in COMMANDS:
            return None
        command = imported(COMMANDS[name][0])
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; raises UsageError with the nearest known one."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            hint = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(
                f"no command {args[0]!r}{hint}; known: {', '.join(COMMANDS)}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fairfm")
def cli() -> None:
    """Find the pre-training, adaptation and data that give an accurate and fair model."""


def main() -> None:
    """Run the command line; an error that the user can fix is one line and exit code 2."""
    raise_on_signals()
    try:
        code = run()
    except BaseException as error:
        # Whatever a signal has caused on its way: a KeyboardInterrupt, or an error made of it.
        number = first_signal()
        if number is None:
            sys.excepthook = _print_traceback
            raise
        ignore_signals()
        _say(INTERRUPTED)
        code = SIGNALLED + number
        if isinstance(error, RayLost):
            os._exit(code)  # the interpreter would wait for Ray
    _leave(code)


def run() -> int:
    """Run the command; returns its exit code."""
    from fairfm_core.errors import BadInput, in_words

    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return BAD_INPUT
    except click.ClickException as error:
        _say(_usage(error))
        return BAD_INPUT
    except click.Abort:  # a question that was not answered, or the end of its input
        if first_signal():
            raise
        _say("nothing was changed: the question was not answered with yes")
        return SOME_FAILED
    except (BadInput, OSError) as error:
        if first_signal():
            raise
        _say(in_words(error) if isinstance(error, OSError) else str(error))
        if isinstance(error, RayLost):
            os._exit(BAD_INPUT)  # the interpreter would wait for Ray
        return BAD_INPUT
    return code if isinstance(code, int) else DONE


def _usage(error: click.ClickException) -> str:
    """What is wrong with the arguments, and where to read what they may be."""
    message = re.sub(r"\. Did you mean (.+)\?$", r" (did you mean \1?)", error.format_message())
    message = message.rstrip(".")
    context = getattr(error, "ctx", None)
    where = f"; see: {context.command_path} --help" if context else ""
    return f"{message[:1].lower()}{message[1:]}{where}"


def _say(message: str) -> None:
    with suppress(OSError):  # the terminal may be closed
        click.echo(f"error: {redacted(' '.join(message.split()))}", err=True)


def _print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print what Python does of an error that nobody expected, without passwords."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _leave(code: int) -> NoReturn:
    """Exit; what a closed terminal can no longer show is dropped."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)
