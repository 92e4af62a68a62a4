"""The table of commands, which are imported when they are called, so that `--version` and `--help` start fast."""

from importlib import import_module

import click
from click.shell_completion import CompletionItem

GROUPS = {
    "Write a pipeline": {
        "init": ("krea_pipe.cli.commands.init:init", "Write a commented starter pipeline."),
        "validate": ("krea_pipe.cli.commands.validate:validate", "Check pipeline files. Needs no network and no key."),
        "expand": ("krea_pipe.cli.commands.expand:expand", "List every request that a pipeline makes."),
        "explain": (
            "krea_pipe.cli.commands.explain:explain",
            "Show where each value of a cell comes from, and its key.",
        ),
        "graph": ("krea_pipe.cli.commands.graph:graph", "Show the graph of stages and their dependencies."),
        "watch": ("krea_pipe.cli.commands.watch:watch", "Show the plan and proofs of a pipeline after each save."),
        "schema": ("krea_pipe.cli.commands.schema:schema", "Print a JSON Schema, for editors and other programs."),
    },
    "Generate images": {
        "prices": ("krea_pipe.cli.commands.prices:prices", "List the prices of images and their sources."),
        "plan": ("krea_pipe.cli.commands.plan:plan", "Show what a run would do, why, and what it would cost."),
        "run": ("krea_pipe.cli.commands.run:run", "Generate only the missing images, and write a report."),
        "status": (
            "krea_pipe.cli.commands.jobs:status",
            "List what is in flight at Krea. Needs no network and no key.",
        ),
        "cancel": ("krea_pipe.cli.commands.jobs:cancel", "Cancel what is in flight at Krea."),
        "recover": ("krea_pipe.cli.commands.jobs:recover", "Find jobs at Krea that are missing from the journal."),
        "spend": ("krea_pipe.cli.commands.spend:spend", "Show what was paid, by month, pipeline, person and more."),
    },
    "Choose and accept images": {
        "reroll": (
            "krea_pipe.cli.commands.reroll:reroll",
            "Generate cells again with other seeds, and take one of them.",
        ),
        "pick": ("krea_pipe.cli.commands.pick:pick", "Record which images are picked."),
        "picks": ("krea_pipe.cli.commands.pick:picks", "Update the cell ids in a picks file after a change of names."),
        "promote": (
            "krea_pipe.cli.commands.pick:promote",
            "Add a stage that regenerates picked images with another variant.",
        ),
        "check": ("krea_pipe.cli.commands.lock:check", "Find images that differ from the accepted ones."),
        "accept": ("krea_pipe.cli.commands.lock:accept", "Accept the latest images into the lock file."),
        "verify": ("krea_pipe.cli.commands.lock:verify", "Compare the images on disk with the lock file."),
    },
    "Look at runs and share them": {
        "view": ("krea_pipe.cli.commands.view:view", "View a run in the browser, during and after the run."),
        "runs": ("krea_pipe.cli.commands.runs:runs", "List runs, the latest first. Needs no network and no key."),
        "report": ("krea_pipe.cli.commands.report:report", "Regenerate the report of a finished run."),
        "diff": ("krea_pipe.cli.commands.diff:diff", "Compare two runs cell by cell on one page."),
        "merge": ("krea_pipe.cli.commands.merge:merge", "Merge the runs of several shards into one report."),
        "sheet": ("krea_pipe.cli.commands.sheet:sheet", "Create a contact sheet of a finished run, as PDF or PNG."),
        "export": (
            "krea_pipe.cli.commands.export:export",
            "Pack the images of a finished run into a zip file for handover.",
        ),
    },
    "Train styles and test programs": {
        "styles": ("krea_pipe.cli.commands.styles:styles", "List trained styles, or train a style."),
        "serve": (
            "krea_pipe.cli.commands.serve:serve",
            "Serve the local Krea over HTTP, to test programs that call Krea.",
        ),
    },
    "Maintain the installation": {
        "cache": ("krea_pipe.cli.commands.cache:cache", "List, total or check the stored images."),
        "gc": ("krea_pipe.cli.commands.gc:gc", "Delete old runs and images that nothing needs."),
        "doctor": (
            "krea_pipe.cli.commands.doctor:doctor",
            "Check the installation, the home folder, the key and Krea.",
        ),
        "completion": ("krea_pipe.cli.commands.completion:completion", "Print the completion script for your shell."),
        "help": ("krea_pipe.cli.commands.help:show_help", "Show the help of a command."),
    },
}
"""The headings of `--help`, with the place and the line of each command under them."""
COMMANDS = {name: place for group in GROUPS.values() for name, place in group.items()}


class LazyGroup(click.Group):
    """A group of commands that are imported when they are called; the list of them needs only their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """The commands in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """One command, imported."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: object = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands under their headings, without importing them."""
        width = max(map(len, COMMANDS))
        for heading, commands in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), short) for name, (_, short) in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, without importing them, and the options that begin so."""
        named = [CompletionItem(name, help=said) for name, (_, said) in COMMANDS.items() if name.startswith(incomplete)]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]
