import os

# Tiny networks are faster on one thread, and other tests run beside these.
os.environ.setdefault("OMP_NUM_THREADS", "1")
