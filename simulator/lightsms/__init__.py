"""LightSMS, played: scripts by GET, signed, answered with HTTP 200 and a code in the body."""
