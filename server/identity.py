"""The one user in one company that the embedded server has, and the versions that it reports."""

COMPANY = "0e3bedded0000000000000000000c0de"
COMPANY_NAME = "embedded"
USER = "__user__"
USER_NAME = "user"
ROLE = "admin"

COMPANY_REFERENCE = {"id": COMPANY, "name": COMPANY_NAME}
USER_REFERENCE = {"id": USER, "name": USER_NAME}

API_VERSION = "2.34"
SERVER_VERSION = "2.3.0"
