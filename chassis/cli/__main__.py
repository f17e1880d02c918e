"""`python -m chassis.cli`: the `mercato` command by the interpreter at hand."""

from chassis.cli import main

main(prog_name="mercato")
