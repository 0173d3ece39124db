"""Pages of queues and workers."""
