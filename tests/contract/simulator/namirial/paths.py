"""What Namirial's addresses and ids look like."""

import re

HEALTH = "/api/Services/checkServiceStatus"
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
