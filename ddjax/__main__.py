"""`python -m ddjax` is the command `ddjax`."""

from ddjax.main import run

if __name__ == "__main__":
    run()
