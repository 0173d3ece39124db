"""What documents look like on the wire: field names and types, as clients of a real server have seen them."""

import re

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
ID = re.compile(r"[0-9a-f]{32}")
MARKS = {"last_change": TIMESTAMP, "last_changed_by": str, "last_update": TIMESTAMP}
STATUS = {"status": str, "status_reason": str, "status_message": str, "status_changed": TIMESTAMP, **MARKS}

TASK = {
    "id": ID,
    "company": str,
    "user": str,
    "name": str,
    "type": str,
    "status": str,
    "comment": str,
    "report_assets": list,
    "created": TIMESTAMP,
    "project": ID,
    "output": dict,
    "execution": {
        "test_split": int,
        "parameters": dict,
        "model_desc": dict,
        "model_labels": dict,
        "artifacts": list,
    },
    "tags": list,
    "system_tags": list,
    "script": {"binary": str, "repository": str, "entry_point": str, "requirements": dict},
    "last_iteration": int,
    "last_metrics": dict,
    "unique_metrics": list,
    "metric_stats": dict,
    "hyperparams": dict,
    "configuration": dict,
    "runtime": dict,
    "models": {"input": list, "output": list},
    "container": dict,
    **MARKS,
}

MODEL = {
    "id": ID,
    "company": str,
    "user": str,
    "name": str,
    "project": ID,
    "created": TIMESTAMP,
    "tags": list,
    "system_tags": list,
    "uri": str,
    "labels": dict,
    "ready": bool,
    "metadata": dict,
    "last_iteration": int,
    "last_metrics": dict,
    **MARKS,
}

PROJECT = {
    "id": ID,
    "company": str,
    "user": str,
    "name": str,
    "basename": str,
    "description": str,
    "created": TIMESTAMP,
    "tags": list,
    "system_tags": list,
    "last_update": TIMESTAMP,
    "featured": int,
    "parent": ID,
    "path": [ID],
}

QUEUE = {
    "id": ID,
    "name": str,
    "company": str,
    "created": TIMESTAMP,
    "tags": list,
    "system_tags": list,
    "entries": [{"task": ID, "added": TIMESTAMP}],
    "last_update": TIMESTAMP,
}

METRIC = {
    "metric": str,
    "variant": str,
    "value": float,
    "min_value": float,
    "min_value_iteration": int,
    "max_value": float,
    "max_value_iteration": int,
    "first_value": float,
    "first_value_iteration": int,
    "count": int,
    "mean_value": float,
}
