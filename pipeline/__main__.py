"""`python -m pipeline`."""

from pipeline.cli.cli import main

if __name__ == "__main__":
    main()
