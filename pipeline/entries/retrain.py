"""The script that is stored with the retraining service, and that an agent executes as its task."""

from pipeline.tasks.retrain import main

if __name__ == "__main__":
    main()
