"""The script that is stored with a run, and that an agent executes as the run's controller."""

from pipeline.dag.execution import main

if __name__ == "__main__":
    main()
