"""What a person is told when the embedded servers cannot be had."""

from campaigns.domain.errors import CampaignError


class EmbeddedUnavailable(CampaignError):
    """The embedded servers are not installed, or could not be started or stopped: what, why, how to mend."""
