"""`krea-pipe completion`: what completes commands in a shell."""

import click
from click.shell_completion import ShellComplete, get_completion_class

VARIABLE = "_KREA_PIPE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script that completes commands, options, files, runs and stages in your shell.

    Save it where the shell looks for completions, as in `krea-pipe completion fish >
    ~/.config/fish/completions/krea-pipe.fish`, then open a new shell:

    \b
      bash   ~/.local/share/bash-completion/completions/krea-pipe
      zsh    ~/.zfunc/_krea-pipe, with fpath+=~/.zfunc before compinit
      fish   ~/.config/fish/completions/krea-pipe.fish

    Or load it in ~/.bashrc or ~/.zshrc: eval "$(krea-pipe completion bash)".
    """
    found = get_completion_class(shell)
    assert found is not None
    # The source of the class above: bash's own would start bash to ask for its version.
    click.echo(ShellComplete.source(found(ctx.find_root().command, {}, "krea-pipe", VARIABLE)))
    return 0
