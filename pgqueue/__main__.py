"""`python -m pgqueue`: the same as the command `pgqueue`."""

from pgqueue.cli import main

if __name__ == "__main__":
    main(prog_name="python -m pgqueue")
