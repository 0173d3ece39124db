"""The script that is stored with a plain training, so that an agent can execute a clone of it."""

from pipeline.tasks.plain_training import main

if __name__ == "__main__":
    main()
