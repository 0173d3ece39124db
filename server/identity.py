"""Who the one user is: the embedded server has one user in one company."""

COMPANY = "0e3bedded0000000000000000000c0de"
COMPANY_NAME = "embedded"
USER = "__user__"
USER_NAME = "user"
ROLE = "admin"

API_VERSION = "2.34"
SERVER_VERSION = "2.3.0"
