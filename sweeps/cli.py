"""The console script `fairfm`: joins the commands of the three packages, each loaded on use."""

from __future__ import annotations

import importlib
import signal
import sys

import click

# Command -> (where it is, what it does): the text here lets `fairfm --help` load no package.
COMMANDS = {
    "data": (
        "fairfm_core.commands.data:data",
        "Prepare and check data: images and tables -> a cohort.",
    ),
    "model": (
        "fairfm_core.commands.model:model",
        "The zoo: list foundation models, convert and check their weights.",
    ),
    "sweep": ("sweeps.commands.sweep:sweep", "Plan, run and follow a study."),
    "evaluate": (
        "analysis.commands.evaluate:evaluate",
        "Predictions -> metrics and gaps with intervals; --compare two models.",
    ),
    "ensemble": (
        "analysis.commands.ensemble:ensemble",
        "Ensembles of stored predictions; --search every subset.",
    ),
    "pareto": (
        "analysis.commands.study:pareto",
        "The front of a study: chosen on validation, shown on test.",
    ),
    "report": ("analysis.commands.study:report", "One self-contained HTML page on a study."),
    "track": ("sweeps.commands.track:track", "Bring MLflow up to date with the stored trials."),
    "ui": ("sweeps.commands.track:ui", "Open MLflow on a results folder."),
}

DONE, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of a study's life."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fairfm")
def cli() -> None:
    """Which pre-training, adaptation and data give a model that is accurate and fair?"""


def main() -> None:
    """Run the command line; an error that the user can mend is one line and exit code 2."""
    from fairfm_core.errors import BadInput

    try:
        code = cli.main(standalone_mode=False)
    except BadInput as error:
        _say(str(error))
        code = BAD_INPUT
    except click.ClickException as error:
        error.show()
        code = BAD_INPUT
    except (KeyboardInterrupt, click.Abort):
        # A second one while the interpreter ends would kill it: another exit code, no message.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _say("interrupted; nothing finished is lost, the same command goes on from here")
        code = INTERRUPTED
    except OSError as error:
        _say(str(error))
        code = BAD_INPUT
    sys.exit(code if isinstance(code, int) else DONE)


def _say(message: str) -> None:
    click.echo(f"error: {' '.join(message.split())}", err=True)
