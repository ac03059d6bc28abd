"""The `da3` command: one file per subcommand.

Owns arguments, progress bars and what is printed. Modules here import nothing heavy before their
command runs, so that `da3 --help` answers at once. Start with `main`.
"""
