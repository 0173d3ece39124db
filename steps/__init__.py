"""One ClearML task function per stage of the pipeline: ids and numbers in, ids and numbers out."""
