"""A group of commands of which only the called one is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from da3_ros.cli import verbosity
from da3_ros.cli.exit_codes import EXIT_INTERRUPTED
from da3_ros.cli.reporting import USAGE_ERROR, print_error


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is, and what the list of commands says of it."""

    target: str
    """module:function inside `da3_ros.cli`; for a group of commands its `typer.Typer`."""
    panel: str
    """Heading in the list."""
    help: str
    """One sentence; the first one of the function's docstring."""
    knows_backend: bool = False
    """Whether it is asked for `--use-backend` by who knows the official tool."""


class LazyGroup(TyperGroup):
    """Knows its commands by name; a subclass says which ones in `commands_by_name`."""

    commands_by_name: ClassVar[dict[str, LazyCommand]] = {}
    context_settings_of_commands: dict[str, Any] = {}  # noqa: RUF012 - a group has its own
    _is_listing = False
    _arguments: tuple[str, ...] = ()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the list."""
        del ctx
        return list(self.commands_by_name)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or for the list of commands one that can only say what it is."""
        del ctx
        found = self.commands_by_name.get(cmd_name)
        if found is None:
            return self.unlisted_command(cmd_name)
        if self._is_listing:
            return TyperCommand(cmd_name, help=found.help, rich_help_panel=found.panel)
        if cmd_name not in self.commands:
            self.commands[cmd_name] = self._imported(cmd_name, found)
        return self.commands[cmd_name]

    def unlisted_command(self, name: str) -> Any:
        """Return a command that stands in no list; a subclass may have some."""
        del name

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Divide the arguments into those of the group, the command and its own."""
        self._arguments = tuple(args)
        divided: list[str] = super().parse_args(ctx, args)
        return divided

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C ends it with a status of its own in every version of typer.

        With `--json` among its arguments, wrong ones are told on stdout too.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Exit(EXIT_INTERRUPTED) from error
        except USAGE_ERROR as error:
            if '--json' in self._arguments:
                # Without the name of the program.
                groups = ctx.command_path.split()[1:]
                print_error(' '.join([*groups, ctx.invoked_subcommand or '']), error)
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help without importing any command."""
        self._is_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_listing = False

    def _imported(self, name: str, command: LazyCommand) -> Any:
        module, function = command.target.split(':')
        found = getattr(import_module(f'da3_ros.cli.{module}'), function)
        if isinstance(found, typer.Typer):
            group: Any = typer.main.get_group(found)
            group.context_settings_of_commands = self.context_settings_of_commands
            group.context_settings = self.context_settings_of_commands
            return group
        app = typer.Typer(add_completion=False)
        settings = self.context_settings_of_commands
        app.command(name, context_settings=settings)(found)
        made = typer.main.get_command(app)
        verbosity.add_to(name, made)
        if command.knows_backend:
            from da3_ros.cli.later import add_backend_options

            add_backend_options(name, made)
        return made
