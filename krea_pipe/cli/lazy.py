"""What is loaded only when it is used, so that `--version` and `--help` start fast.

The table of commands is the one place in krea-pipe that imports late.
"""

from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "init": ("krea_pipe.cli.commands.init:init", "Write a commented starter pipeline."),
    "validate": ("krea_pipe.cli.commands.validate:validate", "Check pipeline files. Needs no network and no key."),
    "expand": ("krea_pipe.cli.commands.expand:expand", "Show every request that a pipeline makes."),
    "plan": ("krea_pipe.cli.commands.plan:plan", "Show what a run would do, why, and what it would cost."),
    "explain": ("krea_pipe.cli.commands.explain:explain", "Show where each value of one cell comes from, and its key."),
    "graph": ("krea_pipe.cli.commands.graph:graph", "Draw the stages and what they wait for."),
    "run": ("krea_pipe.cli.commands.run:run", "Make the images that are not there yet, and a report."),
    "pick": ("krea_pipe.cli.commands.pick:pick", "Write down which images were chosen."),
    "promote": (
        "krea_pipe.cli.commands.promote:promote",
        "Draw picked images on another variant, as an edit of the file.",
    ),
    "check": ("krea_pipe.cli.commands.check:check", "Look for images that differ from the accepted ones."),
    "accept": ("krea_pipe.cli.commands.accept:accept", "Take what was drawn into the lock file."),
    "verify": ("krea_pipe.cli.commands.verify:verify", "Compare the images on disk with the lock file."),
    "status": ("krea_pipe.cli.commands.status:status", "List what is in flight at Krea. Needs no network and no key."),
    "cancel": ("krea_pipe.cli.commands.cancel:cancel", "Cancel what is in flight at Krea."),
    "recover": ("krea_pipe.cli.commands.recover:recover", "Find jobs at Krea that a lost journal knew."),
    "styles": ("krea_pipe.cli.commands.styles:styles", "List trained styles, or train one."),
    "report": ("krea_pipe.cli.commands.report:report", "Render the report of a finished run again."),
    "sheet": ("krea_pipe.cli.commands.sheet:sheet", "Print a contact sheet of a finished run, as PDF or PNG."),
    "export": ("krea_pipe.cli.commands.export:export", "Pack the images of a finished run to hand them on."),
    "view": ("krea_pipe.cli.commands.view:view", "Look at a run in the browser, while it goes on and afterwards."),
    "diff": ("krea_pipe.cli.commands.diff:diff", "Compare two runs, cell by cell, on one page."),
    "schema": ("krea_pipe.cli.commands.schema:schema", "Print a JSON Schema, for editors and other programs."),
    "gc": ("krea_pipe.cli.commands.gc:gc", "Free disk space: old runs, images that nothing needs."),
    "cache": ("krea_pipe.cli.commands.cache:cache", "List what is stored, sum it up, or check it."),
    "doctor": ("krea_pipe.cli.commands.doctor:doctor", "Check the installation, the home folder, the key and Krea."),
    "completion": ("krea_pipe.cli.commands.completion:completion", "Print what completes commands in your shell."),
    "serve": ("krea_pipe.cli.commands.serve:serve", "Serve the local Krea over HTTP, to test programs that call Krea."),
}
EXECUTE = "krea_pipe.executor.executor:carry_out"
ORDER = "krea_pipe.executor.executor:Order"
MANNER = "krea_pipe.executor.executor:ExecutionOptions"
HOOKS = "krea_pipe.api.webhook:WebhookListener"
WEBHOOK_URL = "krea_pipe.api.webhook:check_public_url"
WEBHOOK_ADDRESS = "krea_pipe.api.webhook:parse_address"
ERRAND = "krea_pipe.executor.account_calls:ApiCall"
CANCEL = "krea_pipe.executor.account_calls:cancel_jobs"
FIND_ORPHANS = "krea_pipe.executor.account_calls:find_orphans"
PAIR = "krea_pipe.executor.account_calls:pair"
RECORD_RECOVERED = "krea_pipe.executor.account_calls:record_recovered"
LIST_STYLES = "krea_pipe.executor.account_calls:list_styles"
TRAIN = "krea_pipe.executor.training_task:train"
TRAINING_ORDER = "krea_pipe.executor.training_task:TrainingOrder"
ADD_STYLE = "krea_pipe.pipeline.editing.edits:add_style"
TROUBLE = "krea_pipe.cli.error_handler:tell"
CRASH_LOG = "krea_pipe.cli.crash:write_crash_log"
LOCAL_TRANSPORT = "krea_pipe.local.app:open_transport"
LIKENESS = "krea_pipe.core.images:likeness_of"
SMALL_PICTURE = "krea_pipe.core.images:small_picture"
PROGRESS_BAR = "krea_pipe.cli.bar:Bar"
PROGRESS_LINES = "krea_pipe.cli.lines:Lines"
NOTIFY_PLACES = "krea_pipe.app.notify:places_of"
NOTIFY_MESSAGE = "krea_pipe.app.notify:message_of"
NOTIFY_REFUSAL = "krea_pipe.app.notify:message_of_refusal"
NOTIFY_SEND = "krea_pipe.app.notify:tell_all"
NOTIFY_SERVICE = "krea_pipe.app.services:open_service"


def load(address: str) -> Any:  # noqa: ANN401 (whatever stands at the address)
    """What stands at `module:name`."""
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)


class LazyGroup(click.Group):
    """A group of commands that are imported when they are called; the list of them needs only their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """The commands in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """One command, imported."""
        if cmd_name not in COMMANDS:
            return None
        command = load(COMMANDS[cmd_name][0])
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])
