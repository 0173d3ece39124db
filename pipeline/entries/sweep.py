"""The script that is stored with a sweep, so that an agent can execute a clone of it."""

from pipeline.tasks.sweep import main

if __name__ == "__main__":
    main()
