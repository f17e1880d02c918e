"""`python -m mercato.cli`: the `mercato` command, run by this interpreter."""

from mercato.cli import main

main(prog_name="mercato")
