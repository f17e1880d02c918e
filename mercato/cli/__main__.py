"""`python -m mercato.cli`: the `mercato` command by the interpreter at hand."""

from mercato.cli import main

main(prog_name="mercato")
